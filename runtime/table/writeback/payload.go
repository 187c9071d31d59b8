package writeback

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/firefly-go/firefly/runtime/table"
)

// What lies beside the token of a durable commit: all that the cache has to be told of it, so that
// anybody can do that. Columns are named by their numbers, as the process that reads it may be of another
// build.
//
// A payload is the format, 1, and per image: table, key, place, version, flags, and as the flags say the
// values after and before, as a count and pairs of number and value. Texts have their length before them,
// numbers are varints.

const payloadFormat = 1

const (
	imageDeleted = 1 << iota
	imageValues
	imageBefore
)

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendPayload(b []byte, parts []part) []byte {
	b = append(b, payloadFormat)
	for i := range parts {
		for j := range parts[i].images {
			im := &parts[i].images[j]
			ref := im.Ref
			if ref.Table == nil {
				ref = parts[i].ops[j].Ref
				im.Ref = ref
			}
			b = appendText(appendText(appendText(b, ref.Table.Name), string(ref.Key)), string(ref.Place))
			b = binary.AppendUvarint(b, im.Version)
			flags := byte(0)
			if im.Deleted {
				flags |= imageDeleted
			}
			if im.Values != nil {
				flags |= imageValues
			}
			if im.Before != nil {
				flags |= imageBefore
			}
			b = append(b, flags)
			if im.Values != nil {
				b = appendValues(b, ref.Table, im.Values)
			}
			if im.Before != nil {
				b = appendValues(b, ref.Table, im.Before)
			}
		}
	}
	return b
}

func appendValues(b []byte, t *table.Spec, values []table.Value) []byte {
	b = binary.AppendUvarint(b, uint64(len(values)))
	for i, v := range values {
		b = binary.AppendUvarint(b, uint64(t.Columns[i].Number))
		b = append(b, byte(v.Kind()))
		switch v.Kind() {
		case table.Int, table.Uint:
			b = binary.AppendUvarint(b, v.Uint())
		case table.Float:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.Float()))
		case table.Text, table.Bytes:
			b = appendText(b, v.Text())
		}
	}
	return b
}

var errPayload = errors.New("the payload of a durable commit is damaged")

// payloadReader reads a payload from its beginning.
type payloadReader struct {
	b   []byte
	err error
}

func (r *payloadReader) fail() {
	r.b = nil
	if r.err == nil {
		r.err = errPayload
	}
}

func (r *payloadReader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *payloadReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *payloadReader) text() string { return string(r.take(r.number())) }

func (r *payloadReader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// values reads those of a row; unknown are the columns that the writer did not have.
func (r *payloadReader) values(t *table.Spec) (out []table.Value, unknown []int) {
	out = make([]table.Value, len(t.Columns))
	for i := range out {
		if !t.Columns[i].Nullable {
			out[i] = table.Zero(t.Columns[i].Kind)
		}
	}
	had := make([]bool, len(out))
	for n := r.number(); n > 0 && r.err == nil; n-- {
		number := r.number()
		var v table.Value
		switch k := table.Kind(r.byte()); k {
		case table.Null:
		case table.Int:
			v = table.IntOf(int64(r.number()))
		case table.Uint:
			v = table.UintOf(r.number())
		case table.Float:
			if b := r.take(8); b != nil {
				v = table.FloatOf(math.Float64frombits(binary.LittleEndian.Uint64(b)))
			}
		case table.Text:
			v = table.TextOf(r.text())
		case table.Bytes:
			v = table.BytesOfString(r.text())
		default:
			r.fail()
		}
		if r.err != nil {
			return nil, nil
		}
		i := slices.IndexFunc(t.Columns, func(c table.Column) bool { return uint64(c.Number) == number })
		switch {
		case i < 0:
			r.b, r.err = nil, fmt.Errorf("column %d of %s was written by a newer build", number, t.Name)
		case v.Kind() != t.Columns[i].Kind && !(v.IsNull() && t.Columns[i].Nullable):
			r.fail()
		default:
			out[i], had[i] = v, true
		}
	}
	for i := range had {
		if !had[i] {
			unknown = append(unknown, i)
		}
	}
	return out, unknown
}

// parsePayload gives the images of a payload, by shard.
func (d *durable) parsePayload(payload []byte) ([]part, error) {
	r := &payloadReader{b: payload}
	if r.byte() != payloadFormat {
		return nil, errPayload
	}
	var out []part
	for len(r.b) > 0 {
		name := r.text()
		im := table.Image{Row: table.Row{Ref: table.Ref{Table: d.specs[name], Key: table.Key(r.text()), Place: table.Place(r.text())}}}
		im.Version = r.number()
		flags := r.byte()
		if r.err != nil {
			return nil, r.err
		}
		if im.Table == nil {
			return nil, fmt.Errorf("it has rows of table %q, which this process does not know", name)
		}
		im.Deleted = flags&imageDeleted != 0
		if flags&imageValues != 0 {
			im.Values, im.Unknown = r.values(im.Table)
		}
		if flags&imageBefore != 0 {
			im.Before, _ = r.values(im.Table)
		}
		if r.err != nil {
			return nil, r.err
		}
		s := im.Place.Shard(d.cache.Shards())
		i := slices.IndexFunc(out, func(p part) bool { return p.shard == s })
		if i < 0 {
			i = len(out)
			out = append(out, part{shard: s})
		}
		out[i].images = append(out[i].images, im)
	}
	return out, r.err
}

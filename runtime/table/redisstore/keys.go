package redisstore

import (
	"strconv"
	"strings"

	"github.com/firefly-go/firefly/runtime/table"
)

// A shard is a prefix with a hash tag, "ns:{17}:". Behind it stand "table:key" for a row, "@table:index:by"
// for a list, "*" and one of these for its lease, and "#" and a letter for what the shard has one of.
const (
	ofDirty   = "#d" // sorted set of names of rows that are not stored: score is when they are due, in ms
	ofTx      = "#x" // the same of rows written together with others
	ofPoison  = "#q" // the same of rows that the durable store refuses
	ofErrors  = "#e" // hash of name to "attempts version why" of these
	ofPins    = "#p" // hash of list to the number of unstored rows that came or went
	ofHolder  = "#f" // the flusher
	ofSettled = "#g" // the generation in which everything unstored was compared with the durable store
)

const slots = 16384

// tags gives a hash tag per shard such that the shards are spread evenly over the slots of a cluster.
func tags(shards int) []string {
	out := make([]string, shards)
	for i := range out {
		low, high := i*slots/shards, (i+1)*slots/shards
		for n := 0; ; n++ {
			tag := strconv.Itoa(i)
			if n > 0 {
				tag += "-" + strconv.Itoa(n)
			}
			if s := slot(tag); low <= s && s < max(high, low+1) {
				out[i] = tag
				break
			}
		}
	}
	return out
}

// slot is the slot of a hash tag: CRC16 in the variant of XMODEM.
func slot(tag string) int {
	crc := uint16(0)
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slots
}

func (c *Cache) shardOf(p table.Place) int { return p.Shard(len(c.prefixes)) }

// name is what a row is called in the sets of its shard.
func name(r table.Ref) string { return r.Table.Name + ":" + member(r) }

// member is what a row is called in lists, and in its name: the key, and where the place is not in that, the
// place too, since the same key may be asked for at several places of one shard.
func member(r table.Ref) string {
	if r.Table.PlacedApart() {
		return string(r.Key) + ":" + string(r.Place)
	}
	return string(r.Key)
}

// refOf is the row that member named.
func refOf(t *table.Spec, member string) table.Ref {
	switch i := strings.LastIndexByte(member, ':'); {
	case !t.PlacedApart():
		return t.RefTo(table.Key(member))
	case i < 0:
		return table.Ref{Table: t, Key: table.Key(member)}
	default:
		return table.Ref{Table: t, Key: table.Key(member[:i]), Place: table.Place(member[i+1:])}
	}
}

func (c *Cache) rowKey(r table.Ref) string { return c.prefixes[c.shardOf(r.Place)] + name(r) }

func (c *Cache) leaseKey(r table.Ref) string {
	return c.prefixes[c.shardOf(r.Place)] + "*" + name(r)
}

// noNull stands for Null among the values of an index, where "" stands for an empty text. NUL parts the
// lists that a row pins.
const noNull = "%N"

func (c *Cache) listName(t *table.Spec, index int, by []table.Value) string {
	b := make([]byte, 0, 64)
	b = append(b, '@')
	b = append(b, t.Name...)
	b = append(b, ':')
	b = append(b, t.Indexes[index].Name...)
	for _, v := range by {
		b = append(b, ':')
		if v.IsNull() {
			b = append(b, noNull...)
			continue
		}
		b = table.AppendKeyText(b, v)
	}
	return strings.ReplaceAll(string(b), "\x00", "%00")
}

func (c *Cache) listKey(l table.List) string {
	return c.prefixes[c.shardOf(l.Place)] + c.listName(l.Table, l.Index, l.By)
}

func (c *Cache) listLease(l table.List) string {
	return c.prefixes[c.shardOf(l.Place)] + "*" + c.listName(l.Table, l.Index, l.By)
}

package gate

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/firefly-go/firefly"
)

// SessionRecord is all that a gate knows of a session besides its connection, the bytes that
// wait for it and the commands that are under way: plain data, so that another process can go
// on with it. Its encoding begins with a version; an older gate refuses a newer one.
type SessionRecord struct {
	ID       firefly.SessionID
	Player   firefly.PlayerID
	Epoch    uint64
	Classic  bool
	JSON     bool   // the bodies of a native session are JSON
	Address  string // of the client
	Version  string // that the client announced
	Token    []byte // for resume
	Resumes  bool   // the client acknowledges pushes, so it can come back
	Sent     uint64 // pushes that count for resume
	Acked    uint64
	Refused  []uint32 // commands and pushes that do not fit this client, sorted
	Groups   []firefly.Group
	Pins     []Pin
	Touched  []Pin    // instances that hold a record of this session
	Lost     []string // roles whose loss the client has not been told yet
	Buckets  []Bucket
	Listener int64 // the listener's bucket, as Bucket.Full
}

// Pin is one instance of a role: of one life of one node.
type Pin struct {
	Role        string
	Node        string
	Incarnation firefly.Incarnation
}

// Bucket is the state of the rate of one command.
type Bucket struct {
	Command firefly.CommandID
	Full    int64 // when it is full again, nanoseconds since the gate's start; relative in a record
}

const recordVersion = 1

// ErrRecord is a session record that cannot be read: cut, malformed, or of a newer version.
var ErrRecord = errors.New("gate: not a session record of this version")

const (
	recordClassic = 1 << iota
	recordJSON
	recordResumes
)

// AppendTo appends the encoded record.
func (r *SessionRecord) AppendTo(b []byte) []byte {
	b = append(b, recordVersion)
	var bits byte
	if r.Classic {
		bits |= recordClassic
	}
	if r.JSON {
		bits |= recordJSON
	}
	if r.Resumes {
		bits |= recordResumes
	}
	b = append(b, bits)
	b = binary.AppendUvarint(b, uint64(r.ID.Gate))
	b = binary.AppendUvarint(b, uint64(r.ID.Seq))
	b = binary.AppendVarint(b, int64(r.Player))
	b = binary.AppendUvarint(b, r.Epoch)
	b = appendString(b, r.Address)
	b = appendString(b, r.Version)
	b = appendString(b, string(r.Token))
	b = binary.AppendUvarint(b, r.Sent)
	b = binary.AppendUvarint(b, r.Acked)
	b = binary.AppendUvarint(b, uint64(len(r.Refused)))
	for _, id := range r.Refused {
		b = binary.AppendUvarint(b, uint64(id))
	}
	b = binary.AppendUvarint(b, uint64(len(r.Groups)))
	for _, g := range r.Groups {
		b = appendString(b, string(g))
	}
	b = appendPins(b, r.Pins)
	b = appendPins(b, r.Touched)
	b = binary.AppendUvarint(b, uint64(len(r.Lost)))
	for _, s := range r.Lost {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Buckets)))
	for _, k := range r.Buckets {
		b = binary.AppendUvarint(b, uint64(k.Command))
		b = binary.AppendVarint(b, k.Full)
	}
	return binary.AppendVarint(b, r.Listener)
}

// ParseSessionRecord reads what AppendTo wrote. Nothing of the result is a slice of b. Bytes
// behind the record are an error.
func ParseSessionRecord(b []byte) (SessionRecord, error) {
	d := recordReader{b: b}
	var r SessionRecord
	if d.byte() != recordVersion {
		return r, ErrRecord
	}
	bits := d.byte()
	r.Classic, r.JSON, r.Resumes = bits&recordClassic != 0, bits&recordJSON != 0, bits&recordResumes != 0
	r.ID = firefly.SessionID{Gate: firefly.Incarnation(d.uvarint()), Seq: d.uint32()}
	r.Player = firefly.PlayerID(d.varint())
	r.Epoch = d.uvarint()
	r.Address = d.string()
	r.Version = d.string()
	if s := d.string(); s != "" {
		r.Token = []byte(s)
	}
	r.Sent = d.uvarint()
	r.Acked = d.uvarint()
	for n := d.count(1); n > 0; n-- {
		r.Refused = append(r.Refused, d.uint32())
	}
	for n := d.count(1); n > 0; n-- {
		r.Groups = append(r.Groups, firefly.Group(d.string()))
	}
	r.Pins = d.pins()
	r.Touched = d.pins()
	for n := d.count(1); n > 0; n-- {
		r.Lost = append(r.Lost, d.string())
	}
	for n := d.count(2); n > 0; n-- {
		r.Buckets = append(r.Buckets, Bucket{Command: firefly.CommandID(d.uint32()), Full: d.varint()})
	}
	r.Listener = d.varint()
	if d.bad || len(d.b) > 0 || bits&^(recordClassic|recordJSON|recordResumes) != 0 {
		return SessionRecord{}, ErrRecord
	}
	return r, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendPins(b []byte, pins []Pin) []byte {
	b = binary.AppendUvarint(b, uint64(len(pins)))
	for _, p := range pins {
		b = appendString(b, p.Role)
		b = appendString(b, p.Node)
		b = binary.AppendUvarint(b, uint64(p.Incarnation))
	}
	return b
}

// recordReader takes values from b; after the first that is not there everything is zero.
type recordReader struct {
	b   []byte
	bad bool
}

func (d *recordReader) fail() { d.b, d.bad = nil, true }

func (d *recordReader) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *recordReader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *recordReader) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *recordReader) uint32() uint32 {
	v := d.uvarint()
	if v > math.MaxUint32 {
		d.fail()
	}
	return uint32(v)
}

func (d *recordReader) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// count takes the length of a list whose elements take at least size bytes each.
func (d *recordReader) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *recordReader) pins() []Pin {
	var pins []Pin
	for n := d.count(3); n > 0; n-- {
		pins = append(pins, Pin{Role: d.string(), Node: d.string(), Incarnation: firefly.Incarnation(d.uvarint())})
	}
	return pins
}

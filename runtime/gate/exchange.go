package gate

import (
	"fmt"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// exchange is one command from its arrival until its node has answered. Exchanges are used
// again; all fields belong to the session's lock.
type exchange struct {
	inquiry
	body []byte        // kept for later; empty when not needed
	near rpc.LocalCall // of the link to this process
}

// inquiry is what of an exchange is about one command.
type inquiry struct {
	s        *session
	cmd      *command
	id       uint32 // also when cmd is nil
	seq      uint64 // native
	slot     uint32 // classic, of an exchange that wants a reply
	wants    bool   // somebody waits for the reply
	answered bool
	held     bool // in session.held
	again    bool // goes out a second time
	unknown  bool // was lost with its node: it may have been executed
	waited   bool // did not leave as it came
	size     int  // what counts for the limit
	deadline int64
	request  firefly.RequestID
	key      uint64 // hash of the routing key, 0 none
	links    [2]links
}

type links struct{ prev, next *exchange }

// The lists that an exchange can be in.
const (
	inAll  = iota // session.unfinished
	inHeld        // session.held
)

// list is a list of exchanges that allocates nothing.
type list struct{ first, last *exchange }

func (l *list) push(e *exchange, in int) {
	e.links[in] = links{prev: l.last}
	if l.last != nil {
		l.last.links[in].next = e
	} else {
		l.first = e
	}
	l.last = e
}

func (l *list) pushFront(e *exchange, in int) {
	e.links[in] = links{next: l.first}
	if l.first != nil {
		l.first.links[in].prev = e
	} else {
		l.last = e
	}
	l.first = e
}

func (l *list) remove(e *exchange, in int) {
	k := e.links[in]
	if k.prev != nil {
		k.prev.links[in].next = k.next
	} else {
		l.first = k.next
	}
	if k.next != nil {
		k.next.links[in].prev = k.prev
	} else {
		l.last = k.prev
	}
	e.links[in] = links{}
}

// keepBody is the largest buffer that an exchange keeps when it is used again.
const keepBody = 4 << 10

func (g *Gate) exchange() *exchange {
	if e, ok := g.exchanges.Get().(*exchange); ok {
		return e
	}
	return &exchange{}
}

func (g *Gate) free(e *exchange) {
	if e.body = e.body[:0]; cap(e.body) > keepBody {
		e.body = nil
	}
	e.inquiry = inquiry{}
	g.exchanges.Put(e)
}

// hold keeps the body for later.
func (e *exchange) hold(body []byte) {
	e.waited = true
	if len(e.body) == 0 {
		e.body = append(e.body, body...)
	}
}

// transcode turns a JSON body into protobuf, in the exchange's own buffer.
func (e *exchange) transcode(body []byte) ([]byte, error) {
	m := e.cmd.Request()
	if err := unmarshalJSON(body, m); err != nil {
		return nil, err
	}
	return e.encode(m, m.SizeVT())
}

// encode puts a message of n bytes into the exchange's own buffer.
func (e *exchange) encode(m rpc.Marshaler, n int) ([]byte, error) {
	if cap(e.body) < n {
		e.body = make([]byte, n)
	}
	e.body = e.body[:n]
	return e.body, encode(m, e.body)
}

// encode fills b with a message that should be as long. What is wrong with the message is an
// error: whoever encodes holds locks.
func encode(m rpc.Marshaler, b []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	n, err := m.MarshalToSizedBufferVT(b)
	if err == nil && n != len(b) {
		err = fmt.Errorf("it has %d bytes, and said %d", n, len(b))
	}
	return err
}

// Place implements rpc.Forwarded.
func (e *exchange) Place() *rpc.LocalCall { return &e.near }

// CompleteMessage implements rpc.Forwarded: a role of this process has answered.
func (e *exchange) CompleteMessage(m rpc.Marshaler, batch *transport.Batch) {
	n, err := size(m)
	s := e.s
	s.mu.Lock()
	s.arrived(e)
	if !e.answered {
		s.answerMessage(e, m, n, err, batch)
	}
	s.finish(e)
	s.unlock(batch)
}

// size is how long the message will be.
func size(m rpc.Marshaler) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return m.SizeVT(), nil
}

// Complete implements rpc.Completion: the node has answered, or is lost.
func (e *exchange) Complete(r rpc.Result, batch *transport.Batch) {
	s := e.s
	s.mu.Lock()
	s.arrived(e)
	if r.Err != nil && s.again(e, r.Err.Code) {
		s.unlock(batch)
		return
	}
	if !e.answered {
		s.answer(e, r.Body, r.Err, batch)
	}
	s.finish(e)
	s.unlock(batch)
}

// arrived takes the exchange out of what lies at nodes.
func (s *session) arrived(e *exchange) {
	s.atNodes--
	s.bytes -= e.size
	if !e.cmd.Unordered {
		s.fenced--
	}
}

// again reports whether e goes out a second time: it surely was not executed, or may be
// executed twice.
func (s *session) again(e *exchange, code firefly.Code) bool {
	if e.again || e.answered || s.state >= closing || len(e.body) == 0 && e.size > 0 {
		return false
	}
	if code != firefly.MovedAway && !(code == firefly.Unknown && e.cmd.Idempotent) {
		return false
	}
	e.again, e.waited, e.unknown = true, true, code == firefly.Unknown
	s.enqueue(e, true)
	return true
}

// borrow finds room for one more command that waits. false: there is none, the client sends
// faster than it is served and has more in the pipe than anybody may have.
func (s *session) borrow(e *exchange) bool {
	n := s.waiting + e.size + waitingCost - maxWaiting - s.borrowed
	if n <= 0 {
		return true
	}
	if s.borrowed+n > maxBorrowed {
		return false
	}
	if s.gate.reserve.Add(int64(-n)) < 0 {
		s.gate.reserve.Add(int64(n))
		return false
	}
	s.borrowed += n
	return true
}

func (s *session) enqueue(e *exchange, front bool) {
	e.held = true
	s.waiting += e.size + waitingCost
	if front {
		s.held.pushFront(e, inHeld)
	} else {
		s.held.push(e, inHeld)
	}
}

// dequeue takes e out of held, and gives back what need not be borrowed any more.
func (s *session) dequeue(e *exchange) {
	s.held.remove(e, inHeld)
	e.held = false
	s.waiting -= e.size + waitingCost
	if n := min(s.borrowed, maxWaiting+s.borrowed-s.waiting); n > 0 {
		s.borrowed -= n
		s.gate.reserve.Add(int64(n))
	}
}

// finish takes the exchange out of the session.
func (s *session) finish(e *exchange) {
	s.unfinished.remove(e, inAll)
	s.count--
	s.gate.free(e)
}

package firefly

import (
	"errors"
	"fmt"
)

// Answer is what came of a call at one node, when it went to every node of a role.
type Answer[T any] struct {
	Node  string
	Reply T     // the zero value when Err is set
	Err   error // as that of a call to one node
}

// Answers are those of all nodes that played the role, in the order of their names: none when
// no such node lives.
type Answers[T any] []Answer[T]

// Err joins the errors of the nodes, each with the node's name; nil when there is none.
func (as Answers[T]) Err() error {
	var errs []error
	for _, a := range as {
		if a.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.Node, a.Err))
		}
	}
	return errors.Join(errs...)
}

// Replies are those of the nodes that answered.
func (as Answers[T]) Replies() []T {
	var rs []T
	for _, a := range as {
		if a.Err == nil {
			rs = append(rs, a.Reply)
		}
	}
	return rs
}

// Package mailbox runs the handlers of one role instance one at a time, lets a handler that
// waits give way to others, and keeps the order of each session's commands.
//
// A Loop owns no thread. One goroutine at a time holds the loop and runs tasks in place;
// when a handler yields, its goroutine hands the loop on and parks, and when the answer is
// there the loop is handed back to it. So a handler is plain straight-line code on a plain
// goroutine, and what handlers share needs no locks: the hand-over orders their memory.
//
// What holds:
//   - Never two handlers inside at once; a yield is the only place where others run.
//   - A task with a Lane starts when the former task of that lane has returned, not merely
//     yielded. Lanes never hold each other up.
//   - Resumed handlers run before new ones, tasks older than their deadline are not started,
//     and a Loop takes no more than its Limit: under overload what was begun is finished.
//   - A handler that holds the loop too long is reported while it does; a panic ends its own
//     task and nothing else.
//   - Nothing ticks while the loop is idle, and nothing here is global to the process, so
//     testing/synctest runs over all of it.
package mailbox

// Package torture is the long test of cached tables: writers and flushers are processes that are killed
// again and again while they work, the servers go down and come back, connections are cut between request
// and reply, and paused processes go on where they stood. At the end the database has to equal the log of what
// the writers were told. docs/tables.md says how to read its report.
package torture

// Package table is cached tables: rows as typed objects that every process of a game shares,
// written to a durable store behind the game's back without losing an acknowledged write.
//
// Three layers, each behind a port:
//   - Table, Writes and Tx are what games use, through generated types. They check values,
//     collect writes, compare and set, and yield the logic loop while they wait.
//   - Store is what they stand on: read, find, commit, reserve. The embedded store is one
//     process that runs these on SQLite; everybody else reaches it over a link. The real one is
//     writeback, a cache in front of a database.
//   - Cache and Durable are what writeback stands on: Redis, and MySQL or MariaDB.
//
// One rule holds everything together, for rows and for lists of an index: what is absent from
// the cache has its latest state in the durable store.
package table

// Package sqlstore keeps tables in SQL databases: Embedded is a whole table.Store over one SQLite
// file, which one process owns; MySQL is the table.Durable behind a cache, MySQL 8 or MariaDB.
//
// Phases of a commit in Embedded: queue.go collects what comes while the last transaction runs into the
// next one, commit.go executes one commit in it, and everything is acknowledged when SQLite has it on disk.
//
// In MySQL every write of rows is one transaction (mysqltx.go): it locks the shards that the rows lie in,
// looks that it may write them, puts deletes before rows, and reads back what is there (mysqlflush.go). The
// files begin with mysql.
package sqlstore

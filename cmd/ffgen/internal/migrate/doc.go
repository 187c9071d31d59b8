// Package migrate compares the tables that a game declares with those that its databases have, and
// plans the statements that lead from one to the other, for MySQL and for SQLite.
//
// What the databases have is known from a snapshot that is checked in beside the migrations, or is
// read from a live database. What was never declared is left alone there: foreign tables, columns
// and indexes, engines, character sets, comments and defaults that nobody declared.
//
// Phases: model.go turns declared tables into plain data, which is the snapshot; build.go makes
// atlas schemas of it; match.go lays what is wanted over what is there; diff.go finds the changes and
// asks whether each may be done (risk.go); plan.go writes statements; live.go reads databases.
package migrate

// Package servers starts real MariaDB and Redis servers for tests, on free ports with their data in a
// directory of the test, and does to them what happens to servers: they are killed, stopped, paused and
// started again, and their connections are cut. The process that started them takes them along when it
// ends, however it ends.
package servers

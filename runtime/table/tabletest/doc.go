// Package tabletest holds what every table.Store must do, as tests: Run, and a model that random
// commits are compared with. It has tables and row types to do it with, in the shape that generated
// code has.
package tabletest

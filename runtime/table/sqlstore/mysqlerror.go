package sqlstore

import (
	"context"
	"errors"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// erDuplicate is a second row with a value of a unique index.
const erDuplicate = 1062

// classes are the errors whose SQLSTATE does not say what to do about them.
var classes = map[uint16]table.WriteClass{
	1020: table.Transient,                                                                      // record has changed since last read
	1021: table.Transient,                                                                      // disk full
	1030: table.Transient,                                                                      // storage engine
	1040: table.Transient,                                                                      // too many connections
	1047: table.Transient,                                                                      // a Galera node that is not ready
	1053: table.Transient,                                                                      // shutdown
	1114: table.Transient,                                                                      // the table is full
	1129: table.Transient,                                                                      // host blocked
	1158: table.Transient, 1159: table.Transient, 1160: table.Transient, 1161: table.Transient, // the network
	1203: table.Transient, 1226: table.Transient, // limits of the account
	1205: table.Transient,                                               // lock wait timeout
	1213: table.Transient,                                               // deadlock
	1290: table.Transient, 1792: table.Transient, 1836: table.Transient, // read-only
	1044: table.Transient, 1045: table.Transient, 1698: table.Transient, // the account: nothing flows
	1049: table.Transient, // no database

	1036: table.OfTable,                      // read-only table
	1054: table.OfTable,                      // no such column
	1136: table.OfTable,                      // column count
	1142: table.OfTable, 1143: table.OfTable, // forbidden
	1146: table.OfTable,                                           // no such table
	1194: table.OfTable, 1812: table.OfTable, 1932: table.OfTable, // broken
	1364: table.OfTable, // a column without default that is not declared

	1048: table.OfRow,                                                          // NULL
	1118: table.OfRow,                                                          // row too large
	1153: table.OfRow,                                                          // packet too large
	1216: table.OfRow, 1217: table.OfRow, 1451: table.OfRow, 1452: table.OfRow, // foreign keys
	1264: table.OfRow, 1265: table.OfRow, 1292: table.OfRow, 1366: table.OfRow, 1367: table.OfRow, 1406: table.OfRow,
	1300: table.OfRow,                    // not valid in the character set
	1441: table.OfRow, 1690: table.OfRow, // out of range
	1644: table.OfRow,                    // a trigger refuses it
	3140: table.OfRow,                    // no JSON
	3819: table.OfRow, 4025: table.OfRow, // CHECK

	erDuplicate: table.OfUnique, 1586: table.OfUnique,
}

// classOf says what to do about an error of a statement that is not COMMIT.
func classOf(err error) table.WriteClass {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return table.Transient
	}
	if c, ok := classes[e.Number]; ok {
		return c
	}
	switch s := string(e.SQLState[:2]); s {
	case "22", "23":
		return table.OfRow
	case "42":
		return table.OfTable
	}
	return table.Transient
}

// commitClass says what an error of COMMIT means: nothing was written when the database says so in a way
// that leaves no doubt.
func commitClass(err error) table.WriteClass {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		switch e.Number {
		case 1180, 1205, 1213, 1290, 1792, 1836, 3101:
			return table.Transient
		}
	}
	return table.OfUnknown
}

// staleNode reports whether err says that the connection leads to a server that takes no writes.
func staleNode(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && (e.Number == 1290 || e.Number == 1792 || e.Number == 1836 || e.Number == 1047)
}

// readError is the error of a read; nothing was changed by it.
func mysqlReadError(ctx context.Context, what string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return firefly.DeadlineExceeded.Errorf("%s: the database did not answer in time: %w", what, err)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return firefly.Canceled.Errorf("%s: %w", what, err)
	}
	return firefly.Unavailable.Errorf("%s: the database: %w", what, err)
}

// writeError is the error of a write with its class, and a code: UNKNOWN when it may have been done.
func writeError(class table.WriteClass, t *table.Spec, err error) error {
	w := &table.WriteError{Class: class}
	what := "the database"
	if t != nil {
		w.Table, what = t.Name, "the database, table "+t.Name
	}
	code := firefly.Unavailable
	switch class {
	case table.OfUnknown:
		code = firefly.Unknown
	case table.OfTable:
		code = firefly.FailedPrecondition
	case table.OfRow:
		code = firefly.InvalidArgument
	case table.OfUnique:
		w.Err = firefly.NotUnique.Errorf("%s: another row has the same value of the unique index %s: %w", what, duplicateIndex(err), err)
		return w
	}
	w.Err = code.Errorf("%s: %w", what, err)
	return w
}

// duplicateIndex is the index in "Duplicate entry 'x' for key 'player.by_name'".
func duplicateIndex(err error) string {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return ""
	}
	_, s, _ := strings.Cut(e.Message, "for key '")
	s = strings.TrimSuffix(s, "'")
	if i := strings.LastIndexByte(s, '.'); i >= 0 {
		s = s[i+1:]
	}
	return s
}

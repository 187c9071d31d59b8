package table

import (
	"time"

	"github.com/firefly-go/firefly"
)

// Once is the hidden table in which writeback keeps the keys of Tx.Once: a row per place and key, written
// in the commit that uses the key, so it survives whatever that commit survives. The durable store makes
// it at start, and removes rows older than OnceKept.
var Once = &Spec{
	Name: "ff_once", Message: "ff_once",
	Columns: []Column{
		{Number: OncePlace + 1, Field: "place", Name: "place", Kind: Bytes},
		{Number: OnceKey + 1, Field: "once", Name: "once", Kind: Bytes},
		{Number: OnceToken + 1, Field: "token", Name: "token", Kind: Uint},
		{Number: OnceAt + 1, Field: "at", Name: "at", Kind: Int},
	},
	Key: []int{OncePlace, OnceKey}, Place: OncePlace, Shape: 1,
	Flush: time.Second, Idle: 10 * time.Minute,
	MySQL: SQL{
		Create: "CREATE TABLE IF NOT EXISTS `ff_once` (\n" +
			"  `place` VARBINARY(768) NOT NULL,\n  `once` VARBINARY(128) NOT NULL,\n" +
			"  `token` BIGINT UNSIGNED NOT NULL,\n  `at` BIGINT NOT NULL,\n" +
			"  `ff_v` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
			"  PRIMARY KEY (`place`, `once`),\n  KEY `at` (`at`)\n) ENGINE=InnoDB;\n",
		Get:       "SELECT `place`, `once`, `token`, `at`, `ff_v` FROM `ff_once` WHERE `place` = ? AND `once` = ?",
		GetIn:     "SELECT `place`, `once`, `token`, `at`, `ff_v` FROM `ff_once` WHERE (`place`, `once`) IN (",
		GetInRow:  "(?, ?)",
		GetInEnd:  ")",
		Versions:  "SELECT `place`, `once`, `ff_v` FROM `ff_once` WHERE (`place`, `once`) IN (",
		Upsert:    "INSERT INTO `ff_once` (`place`, `once`, `token`, `at`, `ff_v`) VALUES ",
		UpsertRow: "(?, ?, ?, ?, ?)",
		UpsertEnd: " ON DUPLICATE KEY UPDATE `token` = IF(VALUES(`ff_v`) > `ff_v`, VALUES(`token`), `token`)," +
			" `at` = IF(VALUES(`ff_v`) > `ff_v`, VALUES(`at`), `at`), `ff_v` = GREATEST(`ff_v`, VALUES(`ff_v`))",
		Delete:    "DELETE FROM `ff_once` WHERE ",
		DeleteRow: "(`place` = ? AND `once` = ? AND `ff_v` <= ?)",
		Types:     []string{"VARBINARY(768)", "VARBINARY(128)", "BIGINT UNSIGNED", "BIGINT"},
	},
}

// The columns of Once.
const (
	OncePlace = iota
	OnceKey
	OnceToken
	OnceAt
)

// oncePlaceMost is what the column place keeps.
const oncePlaceMost = 768

// checkOnce says why no key of Tx.Once can belong to a place.
func checkOnce(ref Ref) error {
	if n := len(keyUnescapes.Replace(string(ref.Place))); n > oncePlaceMost {
		return firefly.InvalidArgument.Errorf("%s: a key of Once belongs to a place, and that of this row has %d bytes; at most %d", ref, n, oncePlaceMost)
	}
	return nil
}

// OnceRef is the row of a key of Tx.Once at a place.
func OnceRef(place Place, key string) Ref {
	return Once.RefTo(KeyOf(BytesOfString(keyUnescapes.Replace(string(place))), BytesOfString(key)))
}

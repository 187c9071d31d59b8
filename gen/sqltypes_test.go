package gen_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

const sqlProto = `syntax = "proto3";
package arena.v1;
import "firefly/v1/options.proto";
import "google/protobuf/timestamp.proto";
option go_package = "example.com/arena/gen/arenapb";

// Hero is a player's
// main figure; it's his.
message Hero {
  option (firefly.v1.table) = {
    name: "tb_hero" key: ["owner_id", "id"] auto_id: true
    index: { by: "owner_id" } index: { by: ["name"] unique: true }
  };
  int64 owner_id = 1;
  int64 id = 2 [(firefly.v1.column).type = "int"];
  // What he is called.
  string name = 3 [(firefly.v1.rule).max_len = 24, (firefly.v1.column).default = "it's \\ me"];
  string story = 4;
  string note = 5 [(firefly.v1.column).default = "none"];
  bytes blob = 6;
  bytes small = 7 [(firefly.v1.rule).max_len = 16];
  bool dead = 8 [(firefly.v1.column).default = "true"];
  Kind kind = 9 [(firefly.v1.column).default = "MAGE"];
  uint32 level = 10 [(firefly.v1.column) = { name: "lv" type: "tinyint" unsigned: true default: "1" }];
  uint64 power = 11;
  float speed = 12 [(firefly.v1.column).default = "1.5"];
  double weight = 13 [(firefly.v1.column).type = "numeric( 10, 2 )"];
  google.protobuf.Timestamp born = 14;
  google.protobuf.Timestamp seen = 15 [(firefly.v1.column).type = "datetime(3)", (firefly.v1.rule).required = true];
  Part part = 16;
  repeated int32 parts = 17;
  map<string, int32> counts = 18;
  optional int32 maybe = 19;
  string shade = 20 [(firefly.v1.column).type = "Enum('dark', 'light')"];
}
message Part { int32 a = 1; }
enum Kind { NONE = 0; MAGE = 7; }
`

func sqlTable(t *testing.T, proto string) *gen.SQLTable {
	t.Helper()
	sys, err := idl.Load(context.Background(), idl.Options{FS: fstest.MapFS{"a.proto": {Data: []byte(proto)}}})
	if err != nil {
		t.Fatal(err)
	}
	return gen.SQLTables(sys)[0]
}

func TestSQL(t *testing.T) {
	s := sqlTable(t, sqlProto)
	const mysql = "CREATE TABLE IF NOT EXISTS `tb_hero` (\n" +
		"  `owner_id` BIGINT NOT NULL,\n" +
		"  `id` INT NOT NULL,\n" +
		"  `name` VARCHAR(24) NOT NULL DEFAULT 'it''s \\\\ me' COMMENT 'What he is called.',\n" +
		"  `story` LONGTEXT NOT NULL DEFAULT (''),\n" +
		"  `note` LONGTEXT NOT NULL DEFAULT ('none'),\n" +
		"  `blob` LONGBLOB NOT NULL DEFAULT (''),\n" +
		"  `small` VARBINARY(16) NOT NULL DEFAULT '',\n" +
		"  `dead` TINYINT(1) NOT NULL DEFAULT 1,\n" +
		"  `kind` INT NOT NULL DEFAULT 7,\n" +
		"  `lv` TINYINT UNSIGNED NOT NULL DEFAULT 1,\n" +
		"  `power` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
		"  `speed` FLOAT NOT NULL DEFAULT 1.5,\n" +
		"  `weight` DECIMAL(10,2) NOT NULL DEFAULT 0,\n" +
		"  `born` BIGINT NULL,\n" +
		"  `seen` DATETIME(3) NOT NULL DEFAULT '1970-01-02 00:00:00',\n" +
		"  `part` LONGBLOB NULL,\n" +
		"  `parts` LONGBLOB NOT NULL DEFAULT (''),\n" +
		"  `counts` LONGBLOB NOT NULL DEFAULT (''),\n" +
		"  `maybe` INT NULL,\n" +
		"  `shade` ENUM('dark','light') NOT NULL,\n" +
		"  `ff_v` BIGINT UNSIGNED NOT NULL DEFAULT 0,\n" +
		"  PRIMARY KEY (`owner_id`, `id`),\n" +
		"  KEY `by_owner_id` (`owner_id`),\n" +
		"  UNIQUE KEY `by_name` (`name`)\n" +
		") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='Hero is a player''s main figure; it''s his.';\n"
	if got := s.Create(gen.MySQL); got != mysql {
		t.Errorf("MySQL:\n%s\nwant:\n%s", got, mysql)
	}
	const sqlite = "CREATE TABLE IF NOT EXISTS `tb_hero` (\n" +
		"  `owner_id` INTEGER NOT NULL,\n" +
		"  `id` INTEGER NOT NULL,\n" +
		"  `name` TEXT NOT NULL DEFAULT 'it''s \\ me',\n" +
		"  `story` TEXT NOT NULL DEFAULT '',\n" +
		"  `note` TEXT NOT NULL DEFAULT 'none',\n" +
		"  `blob` BLOB NOT NULL DEFAULT x'',\n" +
		"  `small` BLOB NOT NULL DEFAULT x'',\n" +
		"  `dead` INTEGER NOT NULL DEFAULT 1,\n" +
		"  `kind` INTEGER NOT NULL DEFAULT 7,\n" +
		"  `lv` INTEGER NOT NULL DEFAULT 1,\n" +
		"  `power` INTEGER NOT NULL DEFAULT 0,\n" +
		"  `speed` REAL NOT NULL DEFAULT 1.5,\n" +
		"  `weight` REAL NOT NULL DEFAULT 0,\n" +
		"  `born` INTEGER NULL,\n" +
		"  `seen` INTEGER NOT NULL DEFAULT 0,\n" +
		"  `part` BLOB NULL,\n" +
		"  `parts` BLOB NOT NULL DEFAULT x'',\n" +
		"  `counts` BLOB NOT NULL DEFAULT x'',\n" +
		"  `maybe` INTEGER NULL,\n" +
		"  `shade` TEXT NOT NULL DEFAULT '',\n" +
		"  `ff_v` INTEGER NOT NULL DEFAULT 0,\n" +
		"  PRIMARY KEY (`owner_id`, `id`)\n" +
		");\n" +
		"CREATE INDEX IF NOT EXISTS `tb_hero_by_owner_id` ON `tb_hero` (`owner_id`);\n" +
		"CREATE UNIQUE INDEX IF NOT EXISTS `tb_hero_by_name` ON `tb_hero` (`name`);\n"
	if got := s.Create(gen.SQLite); got != sqlite {
		t.Errorf("SQLite:\n%s\nwant:\n%s", got, sqlite)
	}
	if got, want := s.AddColumn(gen.MySQL, 9), "ALTER TABLE `tb_hero` ADD COLUMN `lv` TINYINT UNSIGNED NOT NULL DEFAULT 1;\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	if !s.Columns[14].Datetime || s.Columns[14].Fraction != 3 || s.Columns[13].Datetime {
		t.Errorf("dates: %+v %+v", s.Columns[14], s.Columns[13])
	}
	for i, want := range map[int]gen.SQLLimits{
		1:  {Integer: true, Min: -1 << 31, Max: 1<<31 - 1},
		2:  {MaxLen: 24},
		9:  {Integer: true, Max: 255},
		10: {Integer: true, Max: 1<<64 - 1},
		6:  {MaxLen: 16, Bytes: true},
	} {
		if got := s.Columns[i].Limits; got != want {
			t.Errorf("%s: %+v, want %+v", s.Columns[i].Name, got, want)
		}
	}
}

func TestSQLRowTooLong(t *testing.T) {
	proto := strings.Replace(sqlProto, "string story = 4;", "string story = 4 [(firefly.v1.rule).max_len = 16383]; string more = 21 [(firefly.v1.rule).max_len = 200];", 1)
	sys, err := idl.Load(context.Background(), idl.Options{FS: fstest.MapFS{"a.proto": {Data: []byte(proto)}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = gen.Generate(sys, gen.Options{Module: "example.com/arena"})
	if err == nil || !strings.Contains(err.Error(), "a.proto:") || !strings.Contains(err.Error(), "65535") {
		t.Errorf("a row over 64 KB gives %v", err)
	}
}

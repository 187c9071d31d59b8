package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/firefly-go/firefly/idl"
)

// oldSchema is a schema as old games have it: the tables of testdata and as many others as make n, from
// the same seed the same.
func oldSchema(t *testing.T, n int) string {
	t.Helper()
	b, err := os.ReadFile("testdata/oldgame.sql")
	if err != nil {
		t.Fatal(err)
	}
	out := string(b)
	have := strings.Count(out, "CREATE TABLE `") + strings.Count(out, "CREATE TABLE IF NOT EXISTS `") - 1 // one becomes a view
	r := rand.New(rand.NewPCG(7, 2013))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	words := []string{"hero", "pet", "mail", "shop", "task", "skill", "equip", "arena", "boss", "copy", "gift", "card", "vip", "rank", "chat", "pack", "farm", "mine", "horse", "title"}
	types := []string{
		"int(11) NOT NULL DEFAULT '0'", "int(11) DEFAULT NULL", "int(10) unsigned NOT NULL DEFAULT '5'", "tinyint(4) NOT NULL", "tinyint(3) unsigned DEFAULT '0'",
		"smallint(6) NOT NULL DEFAULT '-3'", "mediumint(9) DEFAULT NULL", "bigint(20) NOT NULL DEFAULT '0'", "bigint(20) unsigned DEFAULT NULL",
		"varchar(255) NOT NULL DEFAULT ''", "varchar(50) DEFAULT NULL", "varchar(20) NOT NULL DEFAULT '无'", "char(10) DEFAULT ''", "text", "text NOT NULL", "mediumtext", "longtext NOT NULL",
		"float NOT NULL DEFAULT '0'", "double DEFAULT NULL", "double(10,3) NOT NULL DEFAULT '1.5'", "decimal(10,2) NOT NULL DEFAULT '0.00'", "decimal(12,0) DEFAULT '3'",
		"datetime NOT NULL", "datetime DEFAULT NULL", "timestamp NULL DEFAULT NULL", "timestamp NOT NULL DEFAULT '2000-01-01 08:00:00'", "date NOT NULL DEFAULT '0000-00-00'", "date DEFAULT NULL", "time DEFAULT NULL", "year(4) NOT NULL DEFAULT '2013'",
		"enum('a','b','c d') NOT NULL DEFAULT 'a'", "enum('是','否') DEFAULT NULL", "set('x','y') DEFAULT NULL", "tinyint(1) NOT NULL DEFAULT '0'", "tinyint(1) DEFAULT '1'", "bit(1) NOT NULL DEFAULT b'1'", "bit(8) DEFAULT NULL",
		"blob", "tinyblob", "mediumblob NOT NULL", "longblob", "varbinary(100) NOT NULL DEFAULT ''", "binary(8) DEFAULT NULL", "json DEFAULT NULL",
	}
	columns := []string{"name", "desc", "order", "group", "index", "type", "value", "range", "count", "level", "baseId", "HP", "maxHP", "itemId", "endTime", "rank", "condition", "interval", "limit", "read", "release", "describe", "x", "y", "package", "message", "syntax", "import", "reserved", "double", "bool", "oneof", "map", "check_rules", "descriptor", "get_name", "reset"}
	for i := have; i < n; i++ {
		var b strings.Builder
		name := fmt.Sprintf("%s%s_%s%d", pick("tb_", "t_", "", "game_"), pick(words...), pick(words...), i)
		fmt.Fprintf(&b, "CREATE TABLE `%s` (\n", name)
		key := pick("`id`", "`id`", "`characterId`,`id`", "`characterId`")
		auto := key == "`id`" && r.IntN(2) == 0
		fmt.Fprintf(&b, "  `id` %s NOT NULL%s COMMENT '编号',\n", pick("int(11)", "int(10) unsigned", "bigint(20)"), map[bool]string{true: " AUTO_INCREMENT"}[auto])
		fmt.Fprintf(&b, "  `characterId` int(11) NOT NULL DEFAULT '0' COMMENT '角色id',\n")
		for _, j := range r.Perm(len(columns))[:4+r.IntN(16)] {
			fmt.Fprintf(&b, "  `%s` %s", columns[j], pick(types...))
			if r.IntN(3) == 0 {
				fmt.Fprintf(&b, " COMMENT '%s'", pick("等级", "数量 (0-100)", "类型:1攻击,2防御", "a ''quoted'' \\\\ one", "时间戳", "说明\\n第二行"))
			}
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, "  `rankPoints` int(11) NOT NULL DEFAULT '0',\n  PRIMARY KEY (%s)", key)
		if key != "`characterId`" {
			fmt.Fprintf(&b, ",\n  KEY `idx_char` (`characterId`) USING BTREE")
		}
		if r.IntN(2) == 0 {
			fmt.Fprintf(&b, ",\n  UNIQUE KEY `u` (`characterId`,`rankPoints`)")
		}
		fmt.Fprintf(&b, "\n) ENGINE=%s DEFAULT CHARSET=%s COMMENT='%s';\n\n", pick("MyISAM", "MyISAM", "InnoDB"), pick("utf8", "utf8", "utf8mb4", "gbk", "latin1 COLLATE=latin1_bin"), pick("配置表", "玩家数据", "日志", ""))
		text := b.String()
		if strings.Contains(text, "CHARSET=latin1") {
			text = strings.NewReplacer("'无'", "'-'", "'是','否'", "'y','n'").Replace(text)
		}
		out += text
	}
	return out
}

// TestImport brings a schema of 150 tables over: what is declared passes all checks, and a comparison
// with the database that has the schema finds nothing but what the framework adds.
func TestImport(t *testing.T) {
	schema := oldSchema(t, 150)
	x := newTool(t)
	x.run(good, "new", "old")
	x.dir += "/old"
	t.Chdir(x.dir)
	x.write("dump/Old Game.sql", schema)
	db, dsn := mariaDB(t)
	multi, err := sql.Open("mysql", dsn+"?multiStatements=true")
	if err != nil {
		t.Fatal(err)
	}
	defer multi.Close()
	// The trigger has a delimiter of the client's.
	load, _, _ := strings.Cut(schema, "DELIMITER ;;")
	_, rest, _ := strings.Cut(schema, "DELIMITER ;\n")
	if _, err := multi.Exec(load + rest); err != nil {
		t.Fatal(err)
	}
	var tables int
	if err := db.QueryRow("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'").Scan(&tables); err != nil || tables != 150 {
		t.Fatalf("the database has %d tables: %v", tables, err)
	}

	x.run(wrong, "import", "mysql", "dump/Old Game.sql")
	x.wants(x.out, "proto/old/v1/old_game.proto: 149 tables of 150")
	for _, want := range []string{
		"log_login: it is not declared, since it has no primary key",
		"column pos is not declared: there is no field for the type POINT; it has no default",
		"index idx_desc stays in the database and is not declared: it is by the first characters of desc",
		"index ft_notes stays in the database",
		"column score is not declared: MySQL computes it",
		"a check stays in the database",
		"the foreign key by guildId to guild stays",
		"view v_rank is no table",
		"trigger tr_item is no table",
		"column 名字 is not declared",
		"tb_character: it is kept by MyISAM",
		"column lastLogin: ON UPDATE",
		"column createTime: the default 0000-00-00 is no time",
		"index path stays in the database and is not declared: it takes up to",
		"index characterId_2 stays in the database and is not declared: another index",
	} {
		x.wants(x.errs, want)
	}
	// Each line that is told is one of the file, and says what is there.
	for _, m := range regexp.MustCompile(`(?m)^dump/Old Game.sql:(\d+): `).FindAllStringSubmatch(x.errs, -1) {
		var n int
		fmt.Sscan(m[1], &n)
		if n < 1 || n > strings.Count(schema, "\n") {
			t.Errorf("line %s is not in the file", m[1])
		}
	}
	x.wants(x.errs, fmt.Sprintf("dump/Old Game.sql:%d: table tb_character: index idx_desc", lineOf(schema, "KEY `idx_desc`")))
	proto := x.read("proto/old/v1/old_game.proto")
	for _, want := range []string{
		"// 角色表\n",
		"message Character {",
		`key: "id"`,
		`auto_id: true`,
		`  int64 id = 1 [(firefly.v1.column) = { type: "INT" unsigned: true }];`,
		`  string nickname = 2 [(firefly.v1.rule).max_len = 20];`,
		`  // 角色昵称; it's "quoted"`,
		`  int32 user_id = 3 [(firefly.v1.column).name = "userId"];`,
		`  optional int32 order = 7`,
		`  int32 group = 8 [(firefly.v1.column) = { type: "TINYINT" default: "-1" }];`,
		"  string sex = 11 [\n    (firefly.v1.rule) = { max_len: 1 pattern: \"男|女\" },\n    (firefly.v1.column) = { type: \"ENUM('男','女')\" default: \"男\" }\n  ];",
		`  bool is_online = 13 [(firefly.v1.column).name = "isOnline"];`,
		`  int32 status = 14 [(firefly.v1.column).type = "TINYINT"];`,
		`type: "DECIMAL(18,0)" unsigned: true default: "100"`,
		`  google.protobuf.Timestamp birthday = 22 [(firefly.v1.column).type = "DATE"];`,
		`index: { by: "nickname" unique: true }`,
		`index: { by: ["user_id", "level"] }`,
		`// With place: "character_id"`,
		`key: ["player", "friend", "type"]`,
		"// NOT DECLARED, line",
		`string extra = 6 [(firefly.v1.rule).required = true, (firefly.v1.column).type = "JSON"];`,
	} {
		x.wants(proto, want)
	}
	sys, err := idl.Load(context.Background(), idl.Options{Dir: x.dir + "/proto", ModRoot: x.dir})
	if err != nil {
		t.Fatal(err)
	}
	if len(sys.Packages[0].Tables) != 149 {
		t.Errorf("%d tables are declared", len(sys.Packages[0].Tables))
	}

	x.run(good, "generate")
	if !testing.Short() {
		cmd := exec.Command("go", "vet", "./oldpb")
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("what is generated is no Go: %v\n%s", err, out)
		}
	}

	// Against the same schema: no change but the version of each row.
	x.run(good, "migrate", "diff", "adopt", "--mysql", dsn)
	x.wants(x.errs, "table tb_character is kept by MyISAM")
	added := 0
	for l := range strings.Lines(x.migration("mysql", 1, "adopt")) {
		switch {
		case strings.HasPrefix(l, "--"), strings.TrimSpace(l) == "", strings.Contains(l, " `ff_"):
			if strings.Contains(l, " ADD COLUMN `ff_v` bigint unsigned NOT NULL DEFAULT 0;") {
				added++
			}
		default:
			t.Errorf("a change: %s", l)
		}
	}
	if added != 149 {
		t.Errorf("%d tables get a version", added)
	}
	execFile(t, db, x.migration("mysql", 1, "adopt"))
	ran(t, 1, db)
	x.run(good, "migrate", "diff", "again", "--mysql", dsn)
	if x.out != "no change\n" {
		t.Fatal(x.out, x.migration("mysql", 2, "again"))
	}

	// Engine and character set only when asked for, and then for good.
	x.run(good, "migrate", "diff", "convert", "--mysql", dsn, "--allow", "engine:tb_item,charset:tb_item,engine:tb_character,charset:tb_register")
	execFile(t, db, x.migration("mysql", 2, "convert"))
	ran(t, 2, db)
	for table, parts := range map[string][]string{
		"tb_item":      {"ENGINE=InnoDB", "utf8mb4_bin"},
		"tb_register":  {"CHARSET=utf8mb4 COLLATE=utf8mb4_bin", "`username` varchar(64) NOT NULL"},
		"tb_character": {"ENGINE=InnoDB", "AUTO_INCREMENT", "FULLTEXT KEY `ft_notes`"},
	} {
		var name, create string
		if err := db.QueryRow("SHOW CREATE TABLE "+table).Scan(&name, &create); err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			x.wants(create, p)
		}
	}
	x.run(good, "migrate", "diff", "again", "--mysql", dsn, "--allow", "engine:tb_item,charset:tb_item,charset:tb_register")
	x.wants(x.out, "no change")

	// A column that changes keeps what is not declared of it, so the database is asked.
	x.replace("proto/old/v1/old_game.proto", "  string nickname = 2 [(firefly.v1.rule).max_len = 20];", "  string nickname = 2 [(firefly.v1.rule).max_len = 32];")
	x.run(wrong, "migrate", "diff", "longer")
	x.wants(x.errs, "column tb_character.nickname changes in a table that was there before the game")
	x.run(good, "migrate", "diff", "longer", "--mysql", dsn)
	x.wants(x.migration("mysql", 3, "longer"), "MODIFY COLUMN `nickname` varchar(32) NOT NULL DEFAULT '' COMMENT '角色昵称; it''s \"quoted\"'")
	execFile(t, db, x.migration("mysql", 3, "longer"))
	var charset string
	if err := db.QueryRow("SELECT CHARACTER_SET_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'tb_character' AND COLUMN_NAME = 'nickname'").Scan(&charset); err != nil || !strings.HasPrefix(charset, "utf8mb3") {
		t.Errorf("the column has the character set %s %v", charset, err)
	}

	x.run(wrong, "import", "mysql", "dump/Old Game.sql")
	x.wants(x.errs, "is there already")
}

func lineOf(text, part string) int {
	return strings.Count(text[:strings.Index(text, part)], "\n") + 1
}

func TestImportRefused(t *testing.T) {
	x := newTool(t)
	x.run(wrong, "import", "mysql", "a.sql")
	x.wants(x.errs, "go.mod")
	x.write("go.mod", "module example.com/the-old.game\n\ngo 1.26\n")
	x.run(usage, "import", "oracle", "a.sql")
	x.run(usage, "import", "mysql")
	x.run(usage, "import", "mysql", "a.sql", "--package", "Bad")
	x.run(wrong, "import", "mysql", "a.sql")
	x.write("a.sql", "SELECT 1;")
	x.run(wrong, "import", "mysql", "a.sql")
	x.wants(x.errs, "makes no tables")

	// What the checks of the declaration or MySQL itself would refuse is left out, and the rest is not.
	values := make([]string, 300)
	for i := range values {
		values[i] = fmt.Sprintf("'value number %d of many'", i)
	}
	x.write("a.sql", "CREATE TABLE good (id int PRIMARY KEY, n int NOT NULL);\n"+
		"CREATE TABLE many (id int PRIMARY KEY, e enum("+strings.Join(values, ",")+") NOT NULL);\n"+
		"CREATE TABLE wide (id int PRIMARY KEY, a varchar(9000) NOT NULL, b varchar(9000) NOT NULL) CHARSET=latin1;\n")
	x.run(wrong, "import", "mysql", "a.sql", "-o", "..")
	x.wants(x.errs, "is not below")
	x.run(wrong, "import", "mysql", "a.sql")
	x.wants(x.out, "new  proto/the_old_game/v1/a.proto: 1 tables of 3")
	x.wants(x.errs, "a.sql:2: table many: it is not declared, since")
	x.wants(x.errs, "a.sql:3: table wide: it is not declared, since a row of")
	x.wants(x.read("proto/the_old_game/v1/a.proto"), `option go_package = "example.com/the-old.game/the_old_gamepb";`)
	x.run(good, "generate")

	// A second file of the package goes into its Go package, and may not take its names.
	x.replace("proto/the_old_game/v1/a.proto", "the_old_gamepb", "oldpb")
	x.write("b.sql", "CREATE TABLE fine (id int PRIMARY KEY);\n")
	x.run(good, "import", "mysql", "b.sql", "--package", "the_old_game.v1", "-o", "proto/the_old_game/v1")
	x.wants(x.read("proto/the_old_game/v1/b.proto"), `"example.com/the-old.game/oldpb"`)
	if x.errs != "" {
		t.Error(x.errs)
	}
	x.write("c.sql", "CREATE TABLE good (id int PRIMARY KEY);\nCREATE TABLE other (id int PRIMARY KEY);\n")
	x.run(wrong, "import", "mysql", "c.sql")
	x.wants(x.errs, "table good: it is not declared")
	x.wants(x.out, "1 tables of 2")
}

package mysqlimport

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/firefly-go/firefly/cmd/ffgen/internal/ddl"
	"github.com/firefly-go/firefly/idl"
)

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"characterId": "character_id", "playerID": "player_id", "HTTPPort": "http_port", "HP": "hp", "maxHP": "max_hp",
		"a-b$c": "a_b_c", "v_2": "v2", "_x_": "x", "2nd": "n2nd", "名字": "x", "desc": "desc", "a__b": "a_b", "x1Y": "x1_y",
	} {
		if got := snake(in); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
	taken := map[string]bool{}
	var names []string
	for _, n := range []string{"userId", "user_id", "UserID", "string", "get_user_id", "a", "getA"} {
		names = append(names, fieldName(n, taken))
	}
	if got := strings.Join(names, " "); got != "user_id user_id_v2 user_id_v3 string_column get_user_id_v4 a get_a_v2" {
		t.Error(got)
	}
	taken, names = map[string]bool{}, nil
	for _, n := range []string{"tb_item", "item", "t_item", "item_key", "tb_2", "player"} {
		names = append(names, messageName(n, taken))
	}
	if got := strings.Join(names, " "); got != "Item ItemRow TItem ItemKeyRow Tb2 Player" {
		t.Error(got)
	}
}

// FuzzImport: whatever a schema file holds, reading and declaring it ends, and what is declared is proto
// that compiles.
func FuzzImport(f *testing.F) {
	if b, err := os.ReadFile("../../testdata/oldgame.sql"); err == nil {
		f.Add(b)
		for part := range strings.SplitSeq(string(b), ";\n") {
			f.Add([]byte(part + ";"))
		}
	}
	for _, s := range []string{
		"CREATE TABLE a (id int, PRIMARY KEY)", "CREATE TABLE a (id int GENERATED ALWAY (x))", "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE `a` (`id` int COMMENT 'x", "/*!50100 CREATE TABLE a (id serial) */;",
		"create table x.y (a enum('a','\\'') default _utf8mb4'\xff', primary key(a))", "ALTER TABLE a ADD (b int, c int) , DROP b;",
		"DELIMITER $$\nCREATE PROCEDURE p() BEGIN END $$", "CREATE TABLE t (id bigint unsigned, n decimal(65,30) default -1e5, primary key (id desc));",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 1<<16 {
			return
		}
		start := time.Now()
		s := ddl.Parse(src)
		r := Import(s, Options{Source: "a.sql", Package: "a.v1", GoPackage: "example.com/a/apb"})
		if d := time.Since(start); d > 5*time.Second {
			t.Fatalf("took %s", d)
		}
		_, err := idl.Load(context.Background(), idl.Options{FS: fstest.MapFS{"a.proto": {Data: r.Proto}}})
		if err == nil {
			return
		}
		// The checks may refuse a table, which the command then leaves out; but it must be a table.
		for l := range strings.Lines(err.Error()) {
			if strings.Contains(l, "syntax error") || strings.Contains(l, "no UTF-8") {
				t.Fatalf("%s\n%s", l, r.Proto)
			}
		}
	})
}

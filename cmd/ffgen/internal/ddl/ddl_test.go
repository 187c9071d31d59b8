package ddl

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// text is a table in few words.
func (t *Table) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", t.Name)
	for _, c := range t.Columns {
		fmt.Fprintf(&b, " %s:%s", c.Name, c.Type)
		if len(c.Args) > 0 {
			fmt.Fprintf(&b, "(%s)", strings.Join(c.Args, ","))
		}
		for _, x := range []struct {
			on   bool
			text string
		}{{c.Unsigned, "u"}, {c.NotNull, "n"}, {c.AutoInc, "a"}, {c.Generated, "g"}, {c.OnUpdate, "o"}, {c.JSON, "j"}} {
			if x.on {
				b.WriteString("+" + x.text)
			}
		}
		if d := c.Default; d != nil {
			fmt.Fprintf(&b, "=%s", map[bool]string{true: "NULL", false: d.Text}[d.Null])
		}
	}
	index := func(x *Index) {
		for _, p := range x.Parts {
			fmt.Fprintf(&b, ",%s", p.Column)
			if p.Prefix || p.Desc || p.Expr {
				b.WriteByte('?')
			}
		}
	}
	if t.Key != nil {
		b.WriteString(" KEY")
		index(t.Key)
	}
	for _, x := range t.Indexes {
		fmt.Fprintf(&b, " %s%s%s", map[bool]string{true: "u/"}[x.Unique], x.Kind, x.Name)
		index(x)
	}
	for _, f := range t.Foreign {
		fmt.Fprintf(&b, " ->%s", f.Table)
	}
	if t.Engine != "" {
		b.WriteString(" " + t.Engine)
	}
	if t.Charset != "" {
		b.WriteString(" " + t.Charset)
	}
	for _, n := range t.Notes {
		fmt.Fprintf(&b, " !%d:%s", n.Line, n.Text)
	}
	return b.String()
}

func (s *Schema) text() string {
	var out []string
	for _, t := range s.Tables {
		out = append(out, t.text())
	}
	for _, n := range s.Notes {
		out = append(out, fmt.Sprintf("!%d:%s", n.Line, n.Text))
	}
	return strings.Join(out, "\n")
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "CREATE TABLE a (id int(11) unsigned NOT NULL auto_increment, PRIMARY KEY (id)) ENGINE=InnoDB;", "a id:INT(11)+u+n+a KEY,id InnoDB"},
		{"no semicolon", "create table if not exists db.a (id int primary key)", "a id:INT+n KEY,id"},
		{"two", "CREATE TABLE a (x int);CREATE TABLE b (y int);", "a x:INT\nb y:INT"},
		{"executed comments", "/*!40101 SET x=1 */;\n/*!50100 CREATE TABLE a (x int) ENGINE=MyISAM */;", "a x:INT MyISAM"},
		{"comments", "-- c1 `'\n# c2 '\nCREATE TABLE a ( -- the x\n x int, /* and ' y */ y int);", "a x:INT y:INT"},
		{"texts", `CREATE TABLE a (x varchar(5) DEFAULT 'a''b\'c\\' COMMENT "d""e", y enum('a','b,c)','d''e'));`, `a x:VARCHAR(5)=a'b'c\ y:ENUM(a,b,c),d'e)`},
		{"rows", "INSERT INTO a VALUES ('a;b\\';',\"x;\"),(1);\nCREATE TABLE a (x int);", "a x:INT"},
		{"defaults", "CREATE TABLE a (a int DEFAULT -1, b bit(2) DEFAULT b'10', c text DEFAULT ('x'), d datetime DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), e int DEFAULT (1 + 2), f int DEFAULT NULL, g bool DEFAULT TRUE, h char DEFAULT _utf8mb4'q');",
			"a a:INT=-1 b:BIT(2)=b'10' c:TEXT=x d:DATETIME+o=CURRENT_TIMESTAMP e:INT=an expression f:INT=NULL g:BOOL=1 h:CHAR=q"},
		{"types", "CREATE TABLE a (a double precision, b national varchar(5), c character varying(6), d serial, e long varchar, f integer, g numeric(5,2), h double(10,2) unsigned zerofill);",
			"a a:DOUBLE b:VARCHAR(5) c:VARCHAR(6) d:BIGINT+u+n+a e:MEDIUMTEXT f:INT g:DECIMAL(5,2) h:DOUBLE(10,2)+u u/d,d"},
		{"indexes", "CREATE TABLE a (a int, b text, UNIQUE KEY u USING BTREE (a), KEY `k` (`b`(10),a DESC) USING BTREE COMMENT 'x', FULLTEXT KEY f (b) WITH PARSER ngram, INDEX ((a+1)));",
			"a a:INT b:TEXT u/u,a k,b?,a? FULLTEXTf,b ,?"},
		{"generated", "CREATE TABLE a (a int, b int GENERATED ALWAYS AS (a*2) STORED NOT NULL, c int AS (a) VIRTUAL);", "a a:INT b:INT+n+g c:INT+g"},
		{"checks", "CREATE TABLE a (a longtext CHECK (json_valid(`a`)), b int CHECK (b > 0), CONSTRAINT c CHECK (a <> b) NOT ENFORCED, CHECK (json_valid(a)));",
			"a a:LONGTEXT+j b:INT !1:a check stays in the database and is not known to the game: b > 0 !1:a check stays in the database and is not known to the game: a < > b"},
		{"foreign", "CREATE TABLE a (a int REFERENCES x (id) ON DELETE CASCADE, CONSTRAINT f FOREIGN KEY k (a) REFERENCES `s`.`t` (`id`) ON DELETE SET NULL);", "a a:INT ->x ->t"},
		{"phpMyAdmin", "CREATE TABLE a (id int NOT NULL, n int);\nALTER TABLE a ADD PRIMARY KEY (id), ADD UNIQUE KEY n (n);\nALTER TABLE a MODIFY id int NOT NULL AUTO_INCREMENT, AUTO_INCREMENT=3;", "a id:INT+n+a n:INT KEY,id u/n,n"},
		{"alter", "CREATE TABLE a (x int, KEY k (x));\nALTER TABLE a CHANGE x y bigint FIRST, ADD COLUMN z int AFTER y, ADD (p int, q int), DROP COLUMN p, ENGINE=InnoDB, RENAME TO b;", "a y:BIGINT z:INT q:INT k,y InnoDB !2:ALTER TABLE ... RENAME is not understood"},
		{"index after", "CREATE TABLE a (x int);CREATE UNIQUE INDEX i USING BTREE ON a (x);\nCREATE INDEX j ON b (x);", "a x:INT u/i,x\n!2:index j is on table b, which the file does not make"},
		{"objects", "CREATE VIEW v AS select 1;\nCREATE DATABASE d;\nCREATE DEFINER=`a`@`b` FUNCTION `f`() returns int return 1;", "!1:view v is no table\n!3:function f is no table"},
		{"delimiter", "DELIMITER $$\nCREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET x = 1; END$$\nDELIMITER ;\nCREATE TABLE a (x int);", "a x:INT\n!2:trigger t is no table"},
		{"view of old dumps", "/*!50001 CREATE TABLE `v` (`a` int) */;/*!50001 CREATE VIEW `v` AS select 1 */;", "!1:view v is no table"},
		{"options", "CREATE TABLE a (x int) TYPE=MyISAM DEFAULT CHARACTER SET = gbk, COMMENT='c' /*!50100 PARTITION BY HASH (x) PARTITIONS 4 */;", "a x:INT MyISAM gbk !1:the table is partitioned"},
		{"like", "CREATE TABLE a LIKE b;CREATE TABLE c AS SELECT 1;", "!1:table a is made from another one (LIKE), which is not read\n!1:table c is made from another one (AS), which is not read"},
		{"unknown", "FROB THE TABLE;\nCREATE TABLE a (x int FROB);", "a x:INT !2:column x: \"FROB\" is not understood\n!1:the statement \"FROB\" is not understood"},
		{"unclosed", "CREATE TABLE a (x int COMMENT 'abc", "a x:INT !1:the brackets of the table are not closed\n!1:a quote is not closed; what follows is lost"},
		{"twice", "CREATE TABLE a (x int, X int);CREATE TABLE a (y int);", "a x:INT !1:column X stands twice; the first one is read\n!1:table a stands twice in the file; the first one is read"},
		{"empty", " ; ;; -- x", ""},
		{"mariadb", "CREATE TABLE a (x int INVISIBLE, y uuid, z int /*!100301 COMPRESSED*/) /*M!100201 WITH SYSTEM VERSIONING */;", "a x:INT y:UUID z:INT !1:column x is invisible, which says nothing to a game !1:column z: \"COMPRESSED\" is not understood !1:the table keeps its history (WITH SYSTEM VERSIONING)"},
		{"ansi", `CREATE TABLE "a" ("x" int, PRIMARY KEY ("x"));`, "a x:INT+n KEY,x"},
	} {
		if got := Parse([]byte(c.in)).text(); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", c.name, got, c.want)
		}
	}
}

// TestGBK: a file in GBK is read as one, also where the second byte of a character is a backslash.
func TestGBK(t *testing.T) {
	const in = "CREATE TABLE a (x int COMMENT '誠實', y enum('男','女') DEFAULT '女') COMMENT='角色表';"
	b, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	s := Parse(b)
	if len(s.Tables) != 1 || s.Tables[0].Comment != "角色表" || s.Tables[0].Columns[0].Comment != "誠實" || s.Tables[0].Columns[1].Default.Text != "女" {
		t.Errorf("%s", s.text())
	}
	if len(s.Notes) != 1 || !strings.Contains(s.Notes[0].Text, "GBK") {
		t.Errorf("%v", s.Notes)
	}
}

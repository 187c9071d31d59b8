package migrate

import "testing"

func TestCanon(t *testing.T) {
	for in, want := range map[string]string{
		"int(11) unsigned zerofill": "INT UNSIGNED",
		"tinyint(1)":                "TINYINT",
		"BOOL":                      "TINYINT",
		"decimal(10,0)":             "DECIMAL(10,0)",
		"NUMERIC( 8 )":              "DECIMAL(8,0)",
		"float(7,2)":                "FLOAT",
		"double precision":          "DOUBLE",
		"enum('a','b''c','d,)e')":   "ENUM('a','b''c','d,)e')",
		"datetime":                  "DATETIME",
		"DATETIME(3)":               "DATETIME(3)",
		"year(4)":                   "YEAR",
		"char":                      "CHAR(1)",
		"varchar(20)":               "VARCHAR(20)",
		"":                          "",
		"x(":                        "X",
	} {
		if got := canon(in).String(); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"int", "bigint", true},
		{"bigint", "int", false},
		{"int unsigned", "bigint", true},
		{"int", "bigint unsigned", false},
		{"bigint unsigned", "bigint", false},
		{"int", "decimal(10,0)", true},
		{"int", "decimal(10,2)", false},
		{"varchar(20)", "varchar(30)", true},
		{"varchar(30)", "varchar(20)", false},
		{"varchar(100)", "text", true},
		{"varchar(20000)", "text", false},
		{"text", "longtext", true},
		{"longtext", "text", false},
		{"text", "blob", false},
		{"blob", "longblob", true},
		{"varbinary(300)", "tinyblob", false},
		{"enum('a','b')", "enum('a','b','c')", true},
		{"enum('a','b')", "enum('b','a')", false},
		{"float", "double", true},
		{"double", "float", false},
		{"decimal(10,2)", "decimal(12,4)", true},
		{"decimal(10,2)", "decimal(10,4)", false},
		{"datetime(3)", "datetime", false},
		{"datetime", "datetime(6)", true},
		{"int", "varchar(20)", false},
		{"char(8)", "varchar(8)", true},
		{"json", "longtext", true},
		{"date", "datetime", true},
	} {
		if got := holds(canon(c.to), canon(c.from)); got != c.want {
			t.Errorf("%s holds %s: %v", c.to, c.from, got)
		}
	}
}

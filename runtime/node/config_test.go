package node

import (
	"strings"
	"testing"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

func configLaunch(t *testing.T, config string) *Launch {
	t.Helper()
	l, err := ParseLaunch("dev.json", []byte("{\n  \"game\": \"my-game\",\n  \"roles\": {\n    \"gate\": {\"config\": "+config+"}\n  }\n}"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestConfigFromFileAndEnvironment(t *testing.T) {
	l := configLaunch(t, `{"tcp": 1, "rate": "5/s", "classic": {"magic": [1, 2], "version": 3}}`)
	env := map[string]string{
		"MY_GAME_GATE_RATE":            `a "quoted" {text`,
		"MY_GAME_GATE_WEBSOCKET":       "77",
		"MY_GAME_GATE_CLASSIC_MAGIC":   "[9, 8, 7]",
		"MY_GAME_GATE_CLASSIC_BODY":    "JSON",
		"MY_GAME_GATE_CLASSIC_VERSION": "4294967295",
		"MY_GAME_WORLD_TCP":            "5",
	}
	var m fireflypb.Listen
	if err := l.fillConfig("gate", &m, func(k string) string { return env[k] }); err != nil {
		t.Fatal(err)
	}
	c := m.GetClassic()
	if m.GetTcp() != 1 || m.GetRate() != env["MY_GAME_GATE_RATE"] || m.GetWebsocket() != 77 || len(c.GetMagic()) != 3 || c.GetMagic()[0] != 9 ||
		c.GetBody() != fireflypb.Classic_JSON || c.GetVersion() != 4294967295 {
		t.Errorf("%v", &m)
	}
	// Without anything set in it a message inside is not made.
	var none fireflypb.Listen
	if err := configLaunch(t, `{}`).fillConfig("gate", &none, func(string) string { return "" }); err != nil || none.Classic != nil {
		t.Errorf("%v %v", &none, err)
	}
	if err := l.fillConfig("gate", new(fireflypb.Listen), func(k string) string { return map[string]string{"MY_GAME_GATE_TCP": "many"}[k] }); err == nil || !strings.Contains(err.Error(), "MY_GAME_GATE_TCP") {
		t.Errorf("a bad value: %v", err)
	}
}

func TestConfigFaultsHavePositions(t *testing.T) {
	for config, want := range map[string]string{
		`{"tpc": 1}`:             `dev.json:4:25: the config of role gate: unknown field "tpc"`,
		"{\n      \"tpc\": 1}":   `dev.json:5:7: the config of role gate: unknown field "tpc"`,
		`{"tcp": "x"}`:           `dev.json:4:32: the config of role gate: invalid value for uint32 field tcp: "x"`,
		"{\"tcp\": 1,\n\"a\":2}": `dev.json:5:1: the config of role gate: unknown field "a"`,
	} {
		err := configLaunch(t, config).fillConfig("gate", new(fireflypb.Listen), func(string) string { return "" })
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", config, err, want)
		}
	}
}

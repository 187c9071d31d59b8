package main

import (
	"bytes"
	"os"
	"testing"
)

func TestCheckedInIsFresh(t *testing.T) {
	want, err := generate("../../proto")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../" + target)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("idl/fireflypb is stale: go generate ./idl")
	}
}

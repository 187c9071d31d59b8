package firefly

// Version is the version of the library and of ffgen.
const Version = "0.1.0"

// GeneratedV1 is named by generated code. If your build fails because it is missing, the
// generated files were made by an ffgen of another version than the library: run
// `ffgen generate` of the version that go.mod names.
const GeneratedV1 = true

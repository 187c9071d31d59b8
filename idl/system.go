// Package idl reads .proto files into a checked System: roles, commands, calls, pushes,
// tables, sheets and modules, each with its position. Go names are gen's; only of those that the
// vocabulary promises is it checked here that no two meet.
//
// Phases: find the files (source.go: disk, the embedded vocabulary, Go modules) and look at them
// before the compiler does (scan.go), compile them (compile.go), read the options of every
// descriptor and check the whole (build.go, and one file per subject). All faults of a run are
// reported, sorted by place, each with a code (codes.go).
package idl

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// System is everything that a set of .proto files declares, checked.
type System struct {
	Game     string     // first element of the package that holds the roles; "" when there is none
	Files    []*File    // every file of the run and what it imports, in the order of their paths
	Packages []*Package // sorted by name; only those with files of the run or mounted modules
	Roles    []*Role    // in the order of declaration
	Warnings []Diag
}

// File is one .proto file.
type File struct {
	Path      string
	Desc      protoreflect.FileDescriptor
	Generate  bool   // belongs to this run; otherwise only imported
	GoPackage string // import path
	GoName    string // package name
}

// Package is one proto package: it becomes one Go package.
type Package struct {
	Name      string
	GoPackage string
	GoName    string
	Generate  bool
	Files     []*File
	Module    *Module // nil for a game's package
	Services  []*Service
	Pushes    []*Push
	Tables    []*Table
	Sheets    []*Sheet
	Errors    []*ErrorEnum
	Ruled     []*Ruled // messages with rules on their fields, and those that contain such
}

// Service is one proto service.
type Service struct {
	Desc     protoreflect.ServiceDescriptor
	Pos      Pos
	Package  *Package
	Name     string // as declared, "Arena" or "ChatService"
	FullName string
	Comment  string
	Methods  []*Method
	Role     *Role // that serves it by its own code; nil: nobody

	rolePos Pos // where Role names it
}

// Commands are the methods that clients may call; Calls are those of roles.
func (s *Service) Commands() []*Method {
	return s.filter(func(m *Method) bool { return m.Command != nil })
}

// Calls are the methods without an id.
func (s *Service) Calls() []*Method { return s.filter(func(m *Method) bool { return m.Call != nil }) }

func (s *Service) filter(keep func(*Method) bool) []*Method {
	var ms []*Method
	for _, m := range s.Methods {
		if keep(m) {
			ms = append(ms, m)
		}
	}
	return ms
}

// Wire says what stands for a request or reply.
type Wire int

// The kinds of requests and replies.
const (
	WireMessage Wire = iota
	WireRaw
	WireEmpty
	WireNoReply // replies only
)

// Method is one rpc: a command of clients when Command is set, else a call of roles, or,
// with Http alone, neither.
type Method struct {
	Desc     protoreflect.MethodDescriptor
	Pos      Pos
	Service  *Service
	Name     string
	FullName string
	Comment  string
	Request  Wire
	Reply    Wire
	Command  *Command
	Call     *Call
	HTTP     *HTTP
}

// Command is the (firefly.v1.command) of a method, with defaults filled in.
type Command struct {
	Opt        *fireflypb.Command
	Pos        Pos
	IDPos      Pos
	ID         uint32
	Public     bool
	Rate       Rate // zero: the listener's
	Timeout    time.Duration
	Key        protoreflect.FieldDescriptor // nil: the player
	Unordered  bool
	Idempotent bool
}

// Call is the (firefly.v1.call) of a method, with defaults filled in; every method without
// an id has one.
type Call struct {
	Opt        *fireflypb.Call // nil when not written
	Pos        Pos
	Timeout    time.Duration // 0: what is left of the caller's, at most 10 s
	Key        protoreflect.FieldDescriptor
	Player     protoreflect.FieldDescriptor
	Idempotent bool
}

// HTTP is the (firefly.v1.http) of a method; emitted by its own emitter.
type HTTP struct {
	Pos    Pos
	Verb   string // "GET", "POST", "PUT", "DELETE", "PATCH"
	Path   string
	Params []protoreflect.FieldDescriptor // the fields in braces, in order
	verb   int32                          // number of the option's field
}

// Rate is a token bucket: Count per Per; Count < 0 is "none".
type Rate struct {
	Count int32
	Per   time.Duration
}

// Push is a message with (firefly.v1.push).
type Push struct {
	Desc    protoreflect.MessageDescriptor
	Opt     *fireflypb.Push
	Pos     Pos
	Package *Package
	Name    string
	Comment string
	ID      uint32
	IDPos   Pos
	Key     protoreflect.FieldDescriptor // nil: the id alone
}

// ErrorEnum is an enum with (firefly.v1.errors). Its value 0 is no error, all others are codes.
type ErrorEnum struct {
	Desc    protoreflect.EnumDescriptor
	Pos     Pos
	Package *Package
}

// Ruled is a message that has a rule on a field, or reaches a message that has one.
type Ruled struct {
	Desc   protoreflect.MessageDescriptor
	Fields []RuledField
}

// RuledField is one field with its rule (nil: only its message has rules).
type RuledField struct {
	Desc protoreflect.FieldDescriptor
	Rule *fireflypb.Rule
	Sub  bool // the field's message is Ruled itself
}

// Table is a message with (firefly.v1.table); parsed and checked, emitted by its own emitter.
type Table struct {
	Desc    protoreflect.MessageDescriptor
	Opt     *fireflypb.Table
	Pos     Pos
	Package *Package
	Name    string
	Comment string
	SQLName string // default filled in; a mount puts its name before
	Key     []protoreflect.FieldDescriptor
	Place   protoreflect.FieldDescriptor // the column that places the row; the first of the key unless declared
	Index   []Index
	Flush   time.Duration
	Idle    time.Duration
	NearTTL time.Duration // 0: no copies in the process
	Columns []Column      // in the order of the message
}

// Index is one index of a table or sheet.
type Index struct {
	Pos    Pos
	By     []protoreflect.FieldDescriptor
	Unique bool
	Exact  bool // begins with the column that places the row; always, for sheets
}

// Column is one column of a table.
type Column struct {
	Desc protoreflect.FieldDescriptor
	Opt  *fireflypb.Column // nil when not written
	Rule *fireflypb.Rule   // nil when not written
	Name string            // in SQL, default filled in
}

// Sheet is a message with (firefly.v1.sheet); parsed and checked, emitted by its own emitter.
type Sheet struct {
	Desc    protoreflect.MessageDescriptor
	Opt     *fireflypb.Sheet
	Pos     Pos
	Package *Package
	Name    string
	Comment string
	Path    string // under the data folder, default filled in; a mount puts its folder before
	Key     []protoreflect.FieldDescriptor
	Index   []Index
	Refs    []Ref
}

// Ref is a cell whose value is a key of another sheet.
type Ref struct {
	Field protoreflect.FieldDescriptor
	Sheet *Sheet
}

// Module is a package with (firefly.v1.module).
type Module struct {
	Opt     *fireflypb.Module
	Pos     Pos
	Package *Package
	Name    string
	Base    uint32
	Serves  []*Service
	Uses    []Use
	Ports   []*Service // used and not served: the game fills them
	State   protoreflect.MessageDescriptor

	file   protoreflect.FileDescriptor
	served map[*Service]bool // Serves as a set
}

// Role is one (firefly.v1.role).
type Role struct {
	Opt      *fireflypb.Role
	Pos      Pos
	Package  *Package
	Name     string
	Comment  string
	Serves   []*Service
	Uses     []Use
	Mounts   []*Mount
	Replicas int
	Routing  fireflypb.Role_Routing
	Listens  *fireflypb.Listen // as written; nil: no gate
	Gate     *Listen           // the same with defaults; nil: no gate
	Session  protoreflect.MessageDescriptor
	State    protoreflect.MessageDescriptor
	Config   protoreflect.MessageDescriptor

	file  protoreflect.FileDescriptor
	index int32 // among the roles of the file
}

// Listen is where the clients of a gate connect, with defaults filled in. A port that is 0 is
// not declared; a launch file may give it.
type Listen struct {
	Pos            Pos
	TCP            uint32
	WebSocket      uint32
	HTTP           uint32
	Classic        *Classic // nil: only native clients
	MaxFrame       int      // bytes of one body
	MaxConnections int
	MaxPerAddress  int // 0: no limit
	MaxQueue       int // bytes that wait for one client
	Handshake      time.Duration
	Idle           time.Duration // native clients
	Resume         time.Duration // 0: never
	Rate           Rate          // Count < 0: no limit
}

// Classic is the 2013 protocol at a gate.
type Classic struct {
	Magic   [5]byte
	Version uint32
	Body    fireflypb.Classic_Body
	Errors  fireflypb.Classic_Errors
	Idle    time.Duration
}

// Use is one entry of a role's uses; exactly one of Service, Table and Sheet is set.
type Use struct {
	Name    string // as spelled, without the package: the field of Deps
	Pos     Pos
	Service *Service
	Table   *Table
	Sheet   *Sheet
	Mount   *Mount // of the Service, when a module serves it
}

// Mount is one module in a role.
type Mount struct {
	Opt    *fireflypb.Mount
	Pos    Pos
	Module *Module
	As     string
	Base   uint32
	Role   *Role
}

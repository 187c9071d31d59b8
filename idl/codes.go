package idl

// The codes of faults. A code is stable: tools and documents may name it. Every one of them has
// a case in testdata that trips it; a test holds that.
const (
	// The text of the files.

	CodeNoFiles        = "no-files"         // there is nothing to load
	CodeUnreadable     = "unreadable"       // a file or folder cannot be read
	CodeFileTooLarge   = "file-too-large"   // a file over 1 MiB
	CodeTooManyFiles   = "too-many-files"   // over 4096 files or 32 MiB in a run
	CodeLineTooLong    = "line-too-long"    // a line over 4096 bytes
	CodeTooDeep        = "too-deep"         // brackets nested over 100 deep
	CodeNotUTF8        = "not-utf8"         // bytes that are no UTF-8
	CodeImportNotFound = "import-not-found" // an import that is neither in the folder nor in a module
	CodeImportCycle    = "import-cycle"     // files that import each other
	CodeTooMany        = "too-many"         // faults beyond the first 1000 are only counted

	// The language; these come from the compiler.

	CodeProto         = "proto"          // whatever has no code of its own
	CodeSyntax        = "syntax"         // the file does not parse
	CodeUnknownOption = "unknown-option" // no such option
	CodeOptionPlace   = "option-place"   // an option that stands on something else
	CodeOptionField   = "option-field"   // no such field in an option
	CodeOptionValue   = "option-value"   // a value that does not fit its field
	CodeUnknownType   = "unknown-type"   // no such message or enum
	CodeUnusedImport  = "unused-import"  // warning
	CodeCompiler      = "compiler"       // the compiler itself broke

	// What a file and a package say about themselves.

	CodeSyntaxVersion    = "syntax-version"     // proto2
	CodeNoPackage        = "no-package"         // no package
	CodeForeignPackage   = "foreign-package"    // the vocabulary's package, or google's
	CodeNoGoPackage      = "no-go-package"      // no go_package
	CodeGoPackageBad     = "go-package-bad"     // a go_package that Go refuses
	CodeGoPackageDiffers = "go-package-differs" // one proto package in two Go packages
	CodeGoPackageShared  = "go-package-shared"  // two proto packages in one Go package
	CodeOpaqueAPI        = "opaque-api"         // API_OPAQUE
	CodeFeature          = "feature"            // a feature of an edition without a codec
	CodeForeignNumber    = "foreign-number"     // another option with one of our numbers
	CodeOptionBytes      = "option-bytes"       // a string of an option that is no UTF-8
	CodeGoName           = "go-name"            // two names that meet in Go
	CodeGoFile           = "go-file"            // a file whose Go would be lost or left out

	// Roles.

	CodeRoleName           = "role-name"            // no name
	CodeRoleReserved       = "role-reserved"        // a name of the framework
	CodeRoleTaken          = "role-taken"           // two roles of one name
	CodeRolesInTwoFiles    = "roles-in-two-files"   // roles stand in one file
	CodeNoService          = "no-service"           // serves what is no service
	CodeServedTwice        = "served-twice"         // a service of two roles
	CodeServedByModule     = "served-by-module"     // a service that its module serves
	CodeSameMethod         = "same-method"          // two services of one role with one method
	CodeUnserved           = "unserved"             // a service that nobody serves; a warning when only roles could call it
	CodeNoUse              = "no-use"               // uses what is not there
	CodeUseKind            = "use-kind"             // uses a message without table or sheet
	CodeUseUnserved        = "use-unserved"         // uses a service that no role serves
	CodeUseOnlyCommands    = "use-only-commands"    // uses a service with nothing to call
	CodeDepsField          = "deps-field"           // two things of one name in a role's Deps
	CodeNamedTwice         = "named-twice"          // a name stands twice in a list
	CodeCircle             = "circle"               // warning: roles that wait for each other
	CodeReplicas           = "replicas"             // too many, or more than one of SINGLE
	CodeNoMessage          = "no-message"           // session, state or config is no message
	CodeKeptKind           = "kept-kind"            // session, state or config is a push, table or sheet
	CodeSessionLeastLoaded = "session-least-loaded" // a session message where no session stays
	CodeNotYet             = "not-yet"              // declared in the vocabulary, and not built

	// Doors.

	CodeNoListener = "no-listener"  // commands and no door
	CodeNoHTTPPort = "no-http-port" // warning: HTTP methods and no port for them
	CodePortTaken  = "port-taken"   // two doors at one port
	CodePortRange  = "port-range"   // a port over 65535
	CodeMagic      = "magic"        // magic bytes that cannot be
	CodeClassicRaw = "classic-raw"  // raw bodies and commands with messages
	CodeMaxFrame   = "max-frame"    // frames over 1 MiB
	CodeMaxQueue   = "max-queue"    // a queue too small for a frame, or too large

	// Commands, calls, HTTP.

	CodeDuration          = "duration"            // no duration, or out of bounds
	CodeRate              = "rate"                // no rate
	CodeNoID              = "no-id"               // a command or push without id
	CodeIDRange           = "id-range"            // an id out of range
	CodeIDTaken           = "id-taken"            // an id that stands twice
	CodeKeyNoField        = "key-no-field"        // a key that is no field
	CodeKeyKind           = "key-kind"            // a key that is neither integer nor string
	CodeKeyIdle           = "key-idle"            // a key on a role that does not route by it
	CodeKeyAndPlayer      = "key-and-player"      // a call with both
	CodeHashWithoutPlayer = "hash-without-player" // warning: a PUBLIC command without key on a HASH role
	CodeCallOnCommand     = "call-on-command"     // call beside command
	CodeIdempotentNoReply = "idempotent-no-reply" // idempotent on what is never sent again
	CodeStreams           = "streams"             // a streaming method
	CodeNoReplyRequest    = "no-reply-request"    // NoReply as a request
	CodeWordAsField       = "word-as-field"       // Raw or NoReply as a field
	CodeForeignMessage    = "foreign-message"     // a request or reply without a codec
	CodeHTTPPath          = "http-path"           // no path
	CodeHTTPField         = "http-field"          // a path that names no field
	CodeHTTPTaken         = "http-taken"          // a path that stands twice
	CodeHTTPNoReply       = "http-no-reply"       // NoReply by HTTP

	// Pushes and errors.

	CodePushKey     = "push-key"     // a key without COALESCE
	CodeTwoParts    = "two-parts"    // a message that is two of push, table and sheet
	CodeNestedPart  = "nested-part"  // a push, table, sheet or errors inside of a message
	CodeErrorZero   = "error-zero"   // the first value is not 0, or another is
	CodeErrorNumber = "error-number" // a number out of range
	CodeErrorTaken  = "error-taken"  // a number that stands twice

	// Tables and sheets.

	CodeNoKey         = "no-key"         // no key
	CodeKeyTooWide    = "key-too-wide"   // too many columns
	CodeNoColumn      = "no-column"      // a column that is no field
	CodeColumnKind    = "column-kind"    // a field that cannot be in a key or an index
	CodeNoMaxLen      = "no-max-len"     // a string in a key without max_len
	CodeIndexTooLong  = "index-too-long" // more bytes than MySQL indexes
	CodeIndexIdle     = "index-idle"     // an index that is there already
	CodeAutoID        = "auto-id"        // auto_id on what is no 64-bit number
	CodePlace         = "place"          // place on a column of the key
	CodeFlush         = "flush"          // flush with WRITE_THROUGH
	CodeNear          = "near"           // copies that nobody could keep
	CodeTableTaken    = "table-taken"    // two tables of one name
	CodeSQLName       = "sql-name"       // no name in SQL
	CodeColumnOneof   = "column-oneof"   // a oneof in a table
	CodeColumnPlace   = "column-place"   // column outside of a table
	CodeColumnTaken   = "column-taken"   // two columns of one name
	CodeColumnType    = "column-type"    // a type that does not hold the field
	CodeColumnDefault = "column-default" // a default that does not fit the field
	CodeColumnWas     = "column-was"     // a former name that is somebody's name
	CodeSheetFile     = "sheet-file"     // no file for a sheet
	CodeSheetTaken    = "sheet-taken"    // two sheets in one file
	CodeRef           = "ref"            // a ref that leads nowhere

	// Rules.

	CodeRuleKind    = "rule-kind"    // a rule that does not fit the field
	CodeRuleBounds  = "rule-bounds"  // bounds that nothing can keep
	CodeRulePattern = "rule-pattern" // a pattern that RE2 refuses
	CodeRuleSheet   = "rule-sheet"   // ref or unique outside of a sheet

	// Modules.

	CodeModuleTwice    = "module-twice"    // a package that is two modules
	CodeModuleRoles    = "module-roles"    // a module with roles
	CodeModuleName     = "module-name"     // no name for a module or mount
	CodeModuleBase     = "module-base"     // no base
	CodeModuleForeign  = "module-foreign"  // a module that serves another package
	CodeNoModule       = "no-module"       // mounts what is no module
	CodeMountTaken     = "mount-taken"     // two mounts with one name or with the same ids
	CodeMountAmbiguous = "mount-ambiguous" // a service that is mounted twice, without saying which
	CodePort           = "port"            // a port that nobody fills
)

package idl

import (
	"context"
	"io/fs"
	"os"
)

// Options say what to load. Dir or FS is needed, all else has a default.
type Options struct {
	// Dir is the game's IDL folder: what is imported as "arena/v1/arena.proto" lies at
	// Dir/arena/v1/arena.proto.
	Dir string
	// FS is read instead of Dir when it is set.
	FS fs.FS
	// Files are the import paths of the files of this run; nil: every .proto file of the folder.
	Files []string
	// ModRoot is the folder with the go.mod through which .proto files of other Go modules are
	// found; "": the nearest one at or above Dir. With FS and no ModRoot there are no others.
	ModRoot string
}

// Load reads, compiles and checks a game. The error is Diags with all faults of the run, or
// that of ctx. Warnings alone are no error; they are in System.Warnings.
//
// Faults are found in three stages, and each is only reached when the former found nothing:
// the text of the files and their imports, the language, and what is declared. It reads files,
// runs the go command only for an import that is found nowhere else, and writes nothing.
func Load(ctx context.Context, o Options) (*System, error) {
	src := &sources{opts: o, fsys: o.FS, files: map[string]*source{}}
	if src.fsys == nil {
		src.fsys = os.DirFS(o.Dir)
	}
	if o.ModRoot != "" {
		src.mods = &modules{root: o.ModRoot}
	} else if o.FS == nil {
		if root := moduleRoot(o.Dir); root != "" {
			src.mods = &modules{root: root}
		}
	}
	if err := src.gather(ctx); err != nil {
		return nil, err
	}
	files, ds, err := compile(ctx, src)
	if err != nil {
		return nil, err
	}
	ds = append(ds, src.diags...)
	if ds.Failed() {
		return nil, ds.withoutUnused().sorted()
	}
	r := newRun(src, files)
	r.diags = ds
	r.build()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.dropUsedImports()
	if r.diags.Failed() {
		return nil, r.diags.withoutUnused().sorted()
	}
	r.sys.Warnings = r.diags.sorted()
	return r.sys, nil
}

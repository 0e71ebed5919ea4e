// Writes the SDK of a package for one language, with Pulumi's own generators. Its command line calls them by
// way of the language's plugin, which is part of Pulumi's release and no Go module.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	gogen "github.com/pulumi/pulumi/pkg/v3/codegen/go"
	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

const tool = "sdkgen"

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintf(os.Stderr, "usage: %s go|nodejs SCHEMA DIRECTORY\n", tool)
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", tool, err)
		os.Exit(1)
	}
}

func run(language, file, directory string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	// Checks the schema against Pulumi's own, too. It refers to no other package, so nothing is loaded.
	pkg, problems, err := schema.BindSpec(spec, nil, schema.ValidationOptions{})
	if err != nil {
		return err
	}
	if problems.HasErrors() {
		return problems
	}
	files, err := generate(language, pkg)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func generate(language string, pkg *schema.Package) (map[string][]byte, error) {
	switch language {
	case "go":
		return gogen.GeneratePackage(tool, pkg, nil)
	case "nodejs":
		files, err := nodejs.GeneratePackage(tool, pkg, nil, nil, true, nil)
		return upwards(files), err
	}
	return nil, fmt.Errorf("there is no generator for %s", language)
}

// Pulumi's release is built with a Go whose filepath.Rel("types", "") was "../.". With newer ones it is "..", of
// which the generator takes the last part away, so that what is in types imports from beside itself.
func upwards(files map[string][]byte) map[string][]byte {
	for name, content := range files {
		if strings.HasPrefix(name, "types/") {
			for _, target := range []string{`"./types/`, `"./utilities"`} {
				content = bytes.ReplaceAll(content, []byte(target), []byte(`"../`+target[3:]))
			}
			files[name] = content
		}
	}
	return files
}

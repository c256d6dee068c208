package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// The files are written as `terraform providers schema -json` writes them.
type (
	file struct {
		Provider    schema            `json:"provider"`
		Resources   map[string]schema `json:"resource_schemas"`
		DataSources map[string]schema `json:"data_source_schemas"`
	}
	schema struct {
		Block block `json:"block"`
	}
	block struct {
		Attributes map[string]attribute `json:"attributes"`
		Blocks     map[string]nested    `json:"block_types"`
	}
	attribute struct {
		Type     json.RawMessage `json:"type"`
		Nested   *object         `json:"nested_type"`
		Required bool            `json:"required"`
		Optional bool            `json:"optional"`
		Computed bool            `json:"computed"`
	}
	object struct {
		Attributes map[string]attribute `json:"attributes"`
		Mode       string               `json:"nesting_mode"`
	}
	nested struct {
		Block block  `json:"block"`
		Mode  string `json:"nesting_mode"`
		Min   int64  `json:"min_items"`
		Max   int64  `json:"max_items"`
	}
)

func load(path string) (*tfprotov6.GetProviderSchemaResponse, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var read file
	if err := json.Unmarshal(text, &read); err != nil {
		return nil, err
	}
	provider, err := read.Provider.Block.proto(true)
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	response := &tfprotov6.GetProviderSchemaResponse{Provider: &tfprotov6.Schema{Block: provider}}
	for _, kind := range []struct {
		from map[string]schema
		to   *map[string]*tfprotov6.Schema
	}{{read.Resources, &response.ResourceSchemas}, {read.DataSources, &response.DataSourceSchemas}} {
		*kind.to = map[string]*tfprotov6.Schema{}
		for name, of := range kind.from {
			made, err := of.Block.proto(false)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			(*kind.to)[name] = &tfprotov6.Schema{Block: made}
		}
	}
	return response, nil
}

// proto converts a block. What a provider is configured with is never computed.
func (b block) proto(ofProvider bool) (*tfprotov6.SchemaBlock, error) {
	made := &tfprotov6.SchemaBlock{}
	for _, name := range slices.Sorted(maps.Keys(b.Attributes)) {
		converted, err := b.Attributes[name].proto(name, ofProvider)
		if err != nil {
			return nil, err
		}
		made.Attributes = append(made.Attributes, converted)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Blocks)) {
		of := b.Blocks[name]
		inner, err := of.Block.proto(ofProvider)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		mode, known := map[string]tfprotov6.SchemaNestedBlockNestingMode{
			"single": tfprotov6.SchemaNestedBlockNestingModeSingle,
			"list":   tfprotov6.SchemaNestedBlockNestingModeList,
			"set":    tfprotov6.SchemaNestedBlockNestingModeSet,
		}[of.Mode]
		if !known {
			return nil, fmt.Errorf("%s: the nesting %q is not known", name, of.Mode)
		}
		made.BlockTypes = append(made.BlockTypes, &tfprotov6.SchemaNestedBlock{
			TypeName: name, Block: inner, Nesting: mode, MinItems: of.Min, MaxItems: of.Max,
		})
	}
	return made, nil
}

func (a attribute) proto(name string, ofProvider bool) (*tfprotov6.SchemaAttribute, error) {
	made := &tfprotov6.SchemaAttribute{Name: name, Required: a.Required, Optional: a.Optional, Computed: a.Computed && !ofProvider}
	if a.Nested == nil {
		kind, err := tftypes.ParseJSONType(a.Type) //nolint:staticcheck // the type is written as Terraform writes it
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		made.Type = kind
		return made, nil
	}
	mode, known := map[string]tfprotov6.SchemaObjectNestingMode{
		"single": tfprotov6.SchemaObjectNestingModeSingle,
		"list":   tfprotov6.SchemaObjectNestingModeList,
		"set":    tfprotov6.SchemaObjectNestingModeSet,
		"map":    tfprotov6.SchemaObjectNestingModeMap,
	}[a.Nested.Mode]
	if !known {
		return nil, fmt.Errorf("%s: the nesting %q is not known", name, a.Nested.Mode)
	}
	made.NestedType = &tfprotov6.SchemaObject{Nesting: mode}
	for _, inner := range slices.Sorted(maps.Keys(a.Nested.Attributes)) {
		converted, err := a.Nested.Attributes[inner].proto(inner, ofProvider)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		made.NestedType.Attributes = append(made.NestedType.Attributes, converted)
	}
	return made, nil
}

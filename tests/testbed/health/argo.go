package main

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// The prefix of the keys in argocd-cm that hold a script; group and kind follow.
	scriptPrefix = "resource.customizations.health."
	// What Argo CD gives a script.
	scriptLimit = time.Second
)

// argo has the scripts of a ConfigMap argocd-cm.
type argo struct{ scripts map[string]string }

func readArgo(path string) (*argo, error) {
	var config corev1.ConfigMap
	if err := readYAML(path, &config); err != nil {
		return nil, err
	}
	return &argo{config.Data}, nil
}

// judge runs the object's script in Argo CD's engine as Argo CD runs it: with the object as the global obj, for a second at
// most, without io, os, string and the other libraries that useOpenLibs would add.
func (a *argo) judge(object *unstructured.Unstructured) (healthStatus, error) {
	kind := object.GroupVersionKind()
	script, ok := a.scripts[scriptPrefix+kind.Group+"_"+kind.Kind]
	if !ok {
		return healthStatus{}, fmt.Errorf("there is no script")
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	if err := openLibraries(state); err != nil {
		return healthStatus{}, err
	}
	limited, cancel := context.WithTimeout(context.Background(), scriptLimit)
	defer cancel()
	state.SetContext(limited)
	state.SetGlobal("obj", asLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		return healthStatus{}, err
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return healthStatus{}, fmt.Errorf("the script returned no table")
	}
	judged := healthStatus{lua.LVAsString(answer.RawGetString("status")), lua.LVAsString(answer.RawGetString("message"))}
	switch judged.Status {
	case "Healthy", "Progressing", "Degraded", "Suspended", "Missing":
		return judged, nil
	}
	return healthStatus{}, fmt.Errorf("Argo CD knows no status %q", judged.Status)
}

func openLibraries(state *lua.LState) error {
	libraries := []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}}
	for _, library := range libraries {
		function := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(function, lua.LString(library.name)); err != nil {
			return err
		}
	}
	return nil
}

// asLua gives a JSON value as Lua sees it; null is nil, so such a member is not there.
func asLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(asLua(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, asLua(state, item))
		}
		return table
	}
	return lua.LNil
}

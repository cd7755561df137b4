// Command formats reads files of published Secrets with the libraries of the tools that they are for.
//
//	formats registry ADDRESS FOLDER < login.json
//	formats sds FILE
//
// The first serves a container registry that admits the user name and password on standard input, and pushes and pulls an
// image there with what FOLDER/config.json says. The second prints name and value of the one secret in an Envoy's file.
package main

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"google.golang.org/protobuf/encoding/protojson"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "registry":
		err = pushAndPull(args[1], args[2])
	case len(args) == 2 && args[0] == "sds":
		err = printSecret(args[1])
	default:
		err = fmt.Errorf("usage: formats registry ADDRESS FOLDER | formats sds FILE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "formats:", err)
		os.Exit(1)
	}
}

type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// admits asks for HTTP Basic (RFC 7617) before it lets a request through.
func (l login) admits(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		username, password, _ := r.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(username+":"+password), []byte(l.Username+":"+l.Password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(w, "sign in", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func pushAndPull(address, folder string) error {
	var admitted login
	if err := json.NewDecoder(os.Stdin).Decode(&admitted); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	quiet := registry.Logger(log.New(io.Discard, "", 0))
	go http.Serve(listener, admitted.admits(registry.New(quiet)))

	if err := os.Setenv("DOCKER_CONFIG", folder); err != nil {
		return err
	}
	reference, err := name.ParseReference(listener.Addr().String() + "/team/app:1")
	if err != nil {
		return err
	}
	if _, err := remote.Get(reference); err == nil {
		return fmt.Errorf("the registry admits everybody")
	}
	image, err := random.Image(1024, 2)
	if err != nil {
		return err
	}
	signedIn := remote.WithAuthFromKeychain(authn.DefaultKeychain)
	if err := remote.Write(reference, image, signedIn); err != nil {
		return err
	}
	pulled, err := remote.Image(reference, signedIn)
	if err != nil {
		return err
	}
	pushed, err := image.Digest()
	if err != nil {
		return err
	}
	if found, err := pulled.Digest(); err != nil || found != pushed {
		return fmt.Errorf("pushed %s, pulled %s: %v", pushed, found, err)
	}
	fmt.Println(pushed)
	return nil
}

// printSecret is as strict as Envoy: no unknown field, one resource (SdsApi::validateUpdateSize), valid by its rules.
func printSecret(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var response discovery.DiscoveryResponse
	if err := protojson.Unmarshal(text, &response); err != nil {
		return err
	}
	if len(response.Resources) != 1 {
		return fmt.Errorf("%d resources: Envoy takes one", len(response.Resources))
	}
	var secret tls.Secret
	if err := response.Resources[0].UnmarshalTo(&secret); err != nil {
		return err
	}
	if err := secret.ValidateAll(); err != nil {
		return err
	}
	value := secret.GetGenericSecret().GetSecret().GetInlineString()
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"name": secret.Name, "value": value})
}

// A collector of traces: what it receives by OTLP over gRPC, with OpenTelemetry's own code, it writes to a file.
//
//	collector DIRECTORY
//
// DIRECTORY/address says where it listens, once it does. DIRECTORY/spans gets one line of JSON per span, with the
// resource that it belongs to.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"sync"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

type server struct {
	collector.UnimplementedTraceServiceServer
	mutex sync.Mutex
	spans *os.File
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: collector DIRECTORY")
	}
	directory := os.Args[1]
	spans, err := os.Create(filepath.Join(directory, "spans"))
	must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fresh := filepath.Join(directory, "fresh")
	must(os.WriteFile(fresh, []byte(listener.Addr().String()), 0o600))
	must(os.Rename(fresh, filepath.Join(directory, "address")))
	grpcServer := grpc.NewServer()
	collector.RegisterTraceServiceServer(grpcServer, &server{spans: spans})
	must(grpcServer.Serve(listener))
}

func (s *server) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				one := &trace.ResourceSpans{
					Resource:   resource.Resource,
					ScopeSpans: []*trace.ScopeSpans{{Scope: scope.Scope, Spans: []*trace.Span{span}}},
				}
				text, err := protojson.Marshal(one)
				if err != nil {
					return nil, err
				}
				if _, err := fmt.Fprintln(s.spans, string(text)); err != nil {
					return nil, err
				}
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

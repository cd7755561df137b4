// A KMS plug-in on Kubernetes' own server (k8s.io/kms), with keys on disk and faults on request.
//
//	kms SOCKET DIRECTORY
//
// DIRECTORY/key has the name of the key that encrypts; Status tells it as key_id. Each name is another AES-256 key, derived from
// DIRECTORY/seed. DIRECTORY/fault has the name of a fault, or nothing. All are read at each request, so a test changes them by
// writing a file.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/kms/pkg/service"
)

const annotation = "nonce.kms.example.com"

type plugin struct{ directory string }

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: kms SOCKET DIRECTORY")
	}
	server := service.NewGRPCService(os.Args[1], time.Minute, plugin{os.Args[2]})
	log.Fatal(server.ListenAndServe())
}

func (p plugin) text(name string) string {
	content, err := os.ReadFile(filepath.Join(p.directory, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

func (p plugin) fault(ctx context.Context) string {
	fault := p.text("fault")
	if fault == "slow" {
		// Longer than anybody waits; it ends when the client gives up.
		<-ctx.Done()
	}
	return fault
}

func (p plugin) cipher(key string) cipher.AEAD {
	digest := sha256.Sum256([]byte(p.text("seed") + "/" + key))
	block, err := aes.NewCipher(digest[:])
	if err != nil {
		panic(err)
	}
	sealed, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return sealed
}

func (p plugin) Status(ctx context.Context) (*service.StatusResponse, error) {
	answer := &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: p.text("key")}
	switch p.fault(ctx) {
	case "unhealthy":
		answer.Healthz = "the HSM is away"
	case "huge":
		answer.Healthz = strings.Repeat("h", 1<<20)
	case "old-version":
		answer.Version = "v1beta1"
	case "no-key-id":
		answer.KeyID = ""
	case "long-key-id":
		answer.KeyID = strings.Repeat("k", 1025)
	}
	return answer, nil
}

func (p plugin) Encrypt(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
	if uid == "" {
		return nil, status.Error(codes.InvalidArgument, "no uid")
	}
	fault, key := p.fault(ctx), p.text("key")
	if fault == "no-encrypt" {
		// What no plug-in should do: its message has what it was given.
		return nil, status.Error(codes.PermissionDenied, fmt.Sprintf("may not encrypt %x", plaintext))
	}
	if fault == "other-key" {
		key = "another"
	}
	sealed := p.cipher(key)
	nonce := make([]byte, sealed.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	answer := &service.EncryptResponse{
		Ciphertext:  sealed.Seal(nil, nonce, plaintext, []byte(key)),
		KeyID:       key,
		Annotations: map[string][]byte{annotation: nonce},
	}
	switch fault {
	case "plaintext":
		answer.Ciphertext = plaintext
	case "spoiled":
		answer.Ciphertext[0] ^= 1
	case "no-ciphertext":
		answer.Ciphertext = nil
	case "long-ciphertext":
		answer.Ciphertext = make([]byte, 1025)
	case "bad-annotation":
		answer.Annotations["not a domain"] = nil
	case "long-annotation":
		answer.Annotations["long.kms.example.com"] = make([]byte, 32*1024)
	}
	return answer, nil
}

func (p plugin) Decrypt(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
	if uid == "" {
		return nil, status.Error(codes.InvalidArgument, "no uid")
	}
	fault := p.fault(ctx)
	nonce := request.Annotations[annotation]
	sealed := p.cipher(request.KeyID)
	if fault == "no-decrypt" || len(nonce) != sealed.NonceSize() {
		return nil, status.Error(codes.InvalidArgument, "cannot be decrypted")
	}
	plaintext, err := sealed.Open(nil, nonce, request.Ciphertext, []byte(request.KeyID))
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "cannot be decrypted")
	}
	if fault == "wrong-key" {
		plaintext[0] ^= 1
	}
	return plaintext, nil
}

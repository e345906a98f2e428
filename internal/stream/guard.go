package stream

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"scout/internal/files"
)

// Authorizer decides who may register, by what came with the call of ctx. Its errors
// carry the gRPC status that refuses the scout. Many sessions call it at once.
type Authorizer interface {
	// Identify says who opened the call, for people; empty when anybody may.
	Identify(ctx context.Context) (string, error)
	// Authorize is nil when whoever that is may show the files of o now.
	Authorize(ctx context.Context, o files.Origin) error
}

// everybody is the Authorizer of a master that has none.
type everybody struct{}

func (everybody) Identify(context.Context) (string, error)      { return "", nil }
func (everybody) Authorize(context.Context, files.Origin) error { return nil }

// denied is the ending that an error of the Authorizer amounts to.
func denied(err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	code := s.Code()
	if code == codes.Unknown {
		code = codes.PermissionDenied
	}
	return &ending{LeftDenied, code, oneLine(s.Message(), maxReason)}
}

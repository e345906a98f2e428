package web

import (
	_ "embed"
	"net/http"
	"strconv"
)

// openAPI describes everything that is served, in OpenAPI 3.1.
//
//go:embed openapi.json
var openAPI []byte

func (h *Handler) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(openAPI)))
	w.Write(openAPI) //nolint:errcheck // the client has left
}

package web

import (
	_ "embed"
	"net/http"
)

// openAPI describes all that is served, in the terms of OpenAPI 3.1.
//
//go:embed openapi.json
var openAPI []byte

func (h *Handler) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(openAPI) //nolint:errcheck // the client has left
}

// Swagger UI over this server's own description; from the installed package, so that it needs no network.
window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});

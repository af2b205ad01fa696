"""The built-in demo model: no account, no network; answers in steady words and reports true usage."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="demo",
    base_url="demo://",
    auth="none",
    output_limit=("max_tokens", "max_completion_tokens"),
    models=("demo",),
    otel="tollkeeper.demo",
)

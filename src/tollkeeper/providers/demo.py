"""The built-in demo model: no account, no network; answers in steady words and reports true usage."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(name="demo", base_url="demo://", auth="none", models=("demo",), otel="tollkeeper.demo")

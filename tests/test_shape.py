"""The shape of the house: what every file begins with, how long it may be, what it may be called, where it is tested."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tollkeeper"
TESTS = ROOT / "tests"
FOLDERS = ("src", "tests", "bench", "scripts", "examples")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MODULES = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if path.name != "__init__.py")
MOST_LINES = 500
NAMES_THAT_SAY_NOTHING = {"util", "utils", "helper", "helpers", "common", "base", "misc", "tools", "manager"}

WITHOUT_A_MIRROR = {
    # Modules without a test file of their own, and the tests that would fail without them. This list may only shrink: a
    # new module gets a test file named after it.
    #
    # Nouns and seams: nothing in them can go wrong by itself.
    "core/account.py": "config/test_loading.py",
    "core/call.py": "server/test_departures.py",
    "core/conversation.py": "dialects/test_reading.py",
    "core/deltas.py": "dialects/test_translator.py",
    "core/embedding.py": "dialects/test_embedders.py",
    "core/errors.py": "server/test_door.py",
    "core/events.py": "stores/test_reports.py",
    "core/limits.py": "server/test_door.py",
    "core/ports.py": "stores/test_ledger.py",
    "core/provider.py": "providers/test_providers.py",
    "core/translation.py": "dialects/test_translator.py",
    "core/usage.py": "core/test_money.py",
    "core/version.py": "cli/test_serve.py",
    "apis/asked.py": "apis/test_declared.py",
    "apis/calls.py": "apis/test_functions.py",
    "apis/means.py": "apis/test_functions.py",
    "apis/openapi.py": "server/test_pages.py",
    "testing.py": "cli/test_new.py",
    "apis/mistakes.py": "apis/test_schemas.py",
    "apis/model.py": "apis/test_functions.py",
    "apis/threads.py": "apis/test_functions.py",
    "apis/typed.py": "apis/test_signature.py",
    "apis/options.py": "apis/test_publishing.py",
    # What loading is made of.
    "config/accounts.py": "config/test_loading.py",
    "config/outside.py": "apis/test_outside.py",
    "config/tables.py": "config/test_loading.py",
    "config/pricing.py": "test_app.py",
    "bulk/batches/anthropic.py": "cli/test_run_batch.py",
    "bulk/batches/calls.py": "cli/test_run_batch.py",
    "bulk/batches/carrying.py": "cli/test_run_batch.py",
    "bulk/batches/charging.py": "cli/test_run_batch.py",
    "bulk/batches/kinds.py": "cli/test_run_batch.py",
    "bulk/batches/openai.py": "cli/test_run_batch.py",
    "bulk/batches/parts.py": "cli/test_run_batch.py",
    "bulk/batches/service.py": "cli/test_run_batch.py",
    "bulk/served.py": "server/test_batches.py",
    "bulk/ending.py": "bulk/test_running.py",
    "bulk/engine.py": "cli/test_run.py",
    "bulk/fingerprint.py": "cli/test_run.py",
    "bulk/identifiers.py": "cli/test_run.py",
    "bulk/job.py": "cli/test_run.py",
    "bulk/through_gate.py": "cli/test_run.py",
    "bulk/records.py": "bulk/test_reading.py",
    "bulk/results.py": "bulk/test_running.py",
    "bulk/tries.py": "bulk/test_running.py",
    # Started by every test of a command.
    "__main__.py": "cli/test_serve.py",
    "cli/main.py": "cli/test_keys.py",
    "cli/options.py": "cli/test_keys.py",
    "cli/events.py": "cli/test_usage.py",
    "cli/version.py": "cli/test_serve.py",
    # Tested through the dialects that they are parts of, on recordings and through the door.
    "dialects/openai_answers.py": "server/test_recordings.py",
    "dialects/openai_chunk_shape.py": "dialects/test_openai_chunks.py",
    "dialects/openai_completions.py": "dialects/test_openai_chunks_without_usage.py",
    "dialects/openai_endpoints.py": "clients/test_openai_python.py",
    "dialects/openai_errors.py": "server/test_door.py",
    "dialects/openai_paths.py": "policies/test_rights.py",
    "dialects/endpoint.py": "server/test_paths.py",
    "dialects/openai_realtime.py": "server/test_realtime.py",
    "dialects/openai_request.py": "server/test_door.py",
    "dialects/paths.py": "server/test_paths.py",
    "dialects/listings.py": "server/test_paths.py",
    "dialects/embedding_endpoints.py": "server/test_paths.py",
    "dialects/token_counts.py": "server/test_paths.py",
    # The flow, tested through the door with a scripted upstream.
    "flow/departures.py": "server/test_departures.py",
    "flow/event_stream.py": "server/test_streams.py",
    "flow/flow.py": "server/test_streams.py",
    "flow/headers.py": "clients/test_openai_python_errors.py",
    "flow/relay.py": "server/test_streams.py",
    "flow/token_counting.py": "server/test_paths.py",
    "flow/translated_relay.py": "server/test_translated.py",
    "flow/lines.py": "server/test_realtime.py",
    "flow/render.py": "policies/test_rights.py",
    # The door's parts.
    "server/bodies.py": "server/test_door.py",
    "server/exchange.py": "server/test_door.py",
    "server/gate.py": "server/test_door.py",
    "server/listener.py": "cli/test_serve.py",
    "server/pouring.py": "server/test_streams.py",
    "server/protocol.py": "server/test_door.py",
    "server/published.py": "apis/test_declared.py",
    "server/requests.py": "server/test_door.py",
    "server/conversing.py": "server/test_sockets.py",
    "server/ticketing.py": "server/test_sockets.py",
    # A socket's conversation, tested through the door and without a transport.
    "sockets/admission.py": "sockets/test_session.py",
    "sockets/realtime.py": "server/test_realtime.py",
    "sockets/under_way.py": "server/test_realtime.py",
    "sockets/turns.py": "server/test_realtime.py",
    "sockets/unframing.py": "server/test_openai_sockets.py",
    "sockets/responses.py": "server/test_openai_sockets.py",
    "sockets/failing.py": "server/test_openai_sockets.py",
    "sockets/asking.py": "server/test_sockets.py",
    "sockets/chat.py": "server/test_sockets.py",
    "sockets/formats.py": "server/test_sockets.py",
    "sockets/lobby.py": "sockets/test_session.py",
    "sockets/published.py": "server/test_sockets.py",
    "sockets/options.py": "config/test_sockets.py",
    # Ordinary routes, tested through the door with a scripted upstream.
    "core/hops.py": "routes/test_proxying.py",
    "core/revisions.py": "routes/test_administration.py",
    "config/routing.py": "routes/test_assembly.py",
    "operator/admin.py": "routes/test_cases.py",
    "operator/admin_keys.py": "operator/test_revisions.py",
    "operator/admin_answers.py": "routes/test_cases.py",
    "operator/admin_listing.py": "routes/test_cases.py",
    "operator/admin_schemas.py": "routes/test_cases.py",
    "routes/nodes.py": "routes/test_upstreams.py",
    "routes/table.py": "routes/test_cases.py",
    "routes/watching.py": "routes/test_proxying.py",
    "upstream/nodes.py": "routes/test_proxying.py",
    "routes/authentication.py": "plugins/test_key_auth.py",
    "routes/asking.py": "plugins/test_forward_auth.py",
    "routes/batches.py": "plugins/test_http_logger.py",
    "routes/grpc_calls.py": "plugins/test_grpc_transcode.py",
    "routes/limit_keys.py": "plugins/test_limit_count.py",
    "routes/model_work.py": "plugins/test_ai_proxy.py",
    "routes/google_tokens.py": "plugins/test_ai_proxy.py",
    "routes/poured.py": "plugins/test_ai_proxy.py",
    "routes/redis_policy.py": "plugins/test_limit_count.py",
    "routes/shared_buckets.py": "plugins/test_limit_req.py",
    "routes/redis_client.py": "routes/test_shared_windows.py",
    "routes/loggers.py": "plugins/test_http_logger.py",
    "routes/prompts.py": "plugins/test_ai_prompt_decorator.py",
    "routes/openid_provider.py": "plugins/test_openid_connect.py",
    "routes/openid_sign_in.py": "plugins/test_openid_connect.py",
    "routes/records.py": "plugins/test_http_logger.py",
    "routes/traffic.py": "plugins/test_prometheus.py",
    "routes/consumers.py": "plugins/test_key_auth.py",
    "routes/chains.py": "routes/test_assembly.py",
    "routes/exchange.py": "routes/test_assembly.py",
    "routes/plugin.py": "routes/test_registry.py",
    "routes/resource_schemas.py": "routes/test_assembly.py",
    "routes/checking.py": "routes/test_administration.py",
    "routes/drafts.py": "routes/test_administration.py",
    # Chat's side of the operator port, tested through it.
    "operator/abilities.py": "operator/test_mcp.py",
    "operator/bodies.py": "operator/test_keys.py",
    "operator/origins.py": "operator/test_described.py",
    "operator/resources.py": "operator/test_described.py",
    "operator/trying.py": "operator/test_mcp.py",
    "routes/proposals.py": "operator/test_proposals.py",
    # The assistant, tested at a terminal.
    "assistant/events.py": "cli/test_chat.py",
    "assistant/options.py": "cli/test_chat.py",
    "cli/serving.py": "cli/test_chat.py",
    "cli/reaching.py": "cli/test_chat.py",
    "operator/admin_client.py": "operator/test_elsewhere.py",
    "operator/desks.py": "operator/test_mcp.py",
    # Whose is what a provider keeps, tested through the door.
    "core/origin.py": "flow/test_ownership.py",
    "flow/overhearing.py": "flow/test_ownership.py",
    "flow/own_lists.py": "flow/test_ownership.py",
    # The rest.
    "stores/sqlite/holds.py": "stores/test_recovery.py",
    "stores/sqlite/rows.py": "stores/test_reports.py",
    "stores/sqlite/writer.py": "stores/test_ledger_trouble.py",
    "upstream/connection.py": "upstream/test_answers.py",
    "upstream/sockets.py": "server/test_realtime.py",
    "upstream/schemes.py": "cli/test_serve.py",
}


def _mirrors(module: str) -> list[Path]:
    """Test files named after a module, in the folder of its room: room/part/name.py is room/test_name*.py."""
    folder = TESTS / module.partition("/")[0] if "/" in module else TESTS
    return sorted(folder.glob(f"test_{Path(module).stem}*.py"))


def test_every_file_begins_with_a_sentence_about_itself_and_is_not_long() -> None:
    wrong = {}
    for file in FILES:
        text = file.read_text("utf-8")
        said = re.match(r'"""(.+)', text)
        sentence = re.search(r"[.!?:`)]$", said[1].removesuffix('"""')) if said else None
        if text and (sentence is None or len(text.splitlines()) > MOST_LINES):
            wrong[str(file.relative_to(ROOT))] = text.partition("\n")[0]

    assert wrong == {}
    assert len(FILES) > 500


def test_no_name_says_nothing() -> None:
    names = {part.removesuffix(".py") for path in FILES for part in path.relative_to(ROOT).parts}

    assert not {name for name in names if set(name.split("_")) & NAMES_THAT_SAY_NOTHING}


def test_every_module_has_a_test_file_named_after_it_or_is_on_the_list() -> None:
    for module in MODULES:
        if module.startswith("providers/"):
            assert (TESTS / "providers" / "test_providers.py").exists()  # data: all are tested together
        elif module in WITHOUT_A_MIRROR:
            assert _mirrors(module) == [], f"{module} has a test file now: take it off the list"
            assert (TESTS / WITHOUT_A_MIRROR[module]).exists(), module
        else:
            assert _mirrors(module), f"tests/{Path(module).parent}/test_{Path(module).name} is missing"


def test_the_list_names_nothing_that_is_gone() -> None:
    assert not set(WITHOUT_A_MIRROR) - set(MODULES)

"""Run by apisix-client's own Python: one job from stdin, what came of it to stdout, JSON both ways.

The job has `url`, `key` and `node` (host and port); everything that the client can do is done once, in order.
"""

import json
import sys

from apisix_client import ApisixClient
from apisix_client.consumer.models import Consumer
from apisix_client.plugin import KeyAuth, KeyAuthSettings, LimitCount
from apisix_client.route.models import Route
from apisix_client.service.models import Service
from apisix_client.upstream.models import Node, Upstream


def everything(client, host, port):
    """What each call returned."""
    upstream = Upstream(name="up", nodes=[Node(host=host, port=port, weight=1)])
    made = client.upstream.create_with_id_generation(upstream)
    yield "upstream", client.upstream.get(made).value.nodes[0].port == port
    yield "named", client.upstream.create_or_update(upstream, "named")
    yield "service", client.service.create_or_update(Service(name="s", upstream_id=made), "s")
    generated = client.route.create_with_id_generation(Route(uri="/b", upstream_id=made))
    found = client.route.get(generated)
    yield "route", [found.value.uri, found.key == "/apisix/routes/" + generated]
    yield "indexes", found.created_index <= found.modified_index
    yield "wrong", client.route.create_or_update(Route(uri="/c", upstream_id="none"), "c")
    yield "missing", client.route.get("none")
    yield "listed", [len(client.route.get_all([1, 10])), len(client.upstream.get_all()), len(client.consumer.get_all())]
    # What has plugins it can write, not read: it takes them for a list.
    yield "consumer", client.consumer.create_or_update(Consumer("ann", plugins=[KeyAuth("s3cr3t")]))
    limited = LimitCount(count=2, time_window=600, rejected_code=429)
    route = Route(uri="/a*", upstream_id=made, plugins=[KeyAuthSettings(), limited])
    yield "keyed", client.route.create_or_update(route, "a")
    yield "counts", [each.count() for each in (client.route, client.upstream, client.service, client.consumer)]
    yield "plugins", "limit-count" in client.plugin.get_available()
    yield "reloaded", client.plugin.reload()
    yield "deleted", [client.upstream.delete("named"), client.service.delete("s"), client.route.delete("none")]


job = json.load(sys.stdin)
print(json.dumps(dict(everything(ApisixClient(base_url=job["url"], api_key=job["key"]), *job["node"]))))

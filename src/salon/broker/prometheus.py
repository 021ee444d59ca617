"""The metrics as Prometheus reads them, under the names that dashboards know.

Kafka's JMX beans reach Prometheus through the rules of jmx_exporter's Kafka example:
``kafka.network:type=RequestMetrics,name=TotalTimeMs,request=Produce`` becomes
``kafka_network_requestmetrics_totaltimems{request="Produce"}``, ``…PerSec`` meters end in
``_total``, ``…Percent`` in ``_percent``, histograms are quantiles with ``_count``. A
dashboard made for Apache Kafka shows this broker, too.
"""

from collections.abc import Iterator

from salon.broker.metrics import Histogram, Metrics

_BEANS = {
    "AcceptorBlockedPercent": "network_acceptor",
    "ActiveControllerCount": "controller_kafkacontroller",
    "AtMinIsrPartitionCount": "server_replicamanager",
    "BytesInPerSec": "server_brokertopicmetrics",
    "BytesOutPerSec": "server_brokertopicmetrics",
    "BytesRejectedPerSec": "server_brokertopicmetrics",
    "ErrorsPerSec": "network_requestmetrics",
    "ControlPlaneExpiredConnectionsKilledCount": "network_socketserver",
    "ControlPlaneNetworkProcessorAvgIdlePercent": "network_socketserver",
    "ExpiredConnectionsKilledCount": "network_socketserver",
    "ExpiresPerSec": "server_delayedfetchmetrics",
    "FailedIsrUpdatesPerSec": "server_replicamanager",
    "IsrExpandsPerSec": "server_replicamanager",
    "IsrShrinksPerSec": "server_replicamanager",
    "MaxLag": "server_replicafetchermanager",
    "OfflinePartitionsCount": "controller_kafkacontroller",
    "FailedFetchRequestsPerSec": "server_brokertopicmetrics",
    "FailedProduceRequestsPerSec": "server_brokertopicmetrics",
    "IdlePercent": "network_processor",
    "LogFlushRateAndTimeMs": "log_logflushstats",
    "MemoryPoolAvgDepletedPercent": "network_socketserver",
    "MemoryPoolAvailable": "network_socketserver",
    "MemoryPoolUsed": "network_socketserver",
    "MessagesInPerSec": "server_brokertopicmetrics",
    "NetworkProcessorAvgIdlePercent": "network_socketserver",
    "NumDelayedOperations": "server_delayedoperationpurgatory",
    "PurgatorySize": "server_delayedoperationpurgatory",
    "RequestHandlerAvgIdlePercent": "server_kafkarequesthandlerpool",
    "ControlPlaneRequestHandlerAvgIdlePercent": "server_kafkarequesthandlerpool",
    "RequestQueueSize": "network_requestchannel",
    "ControlPlaneRequestQueueSize": "network_requestchannel",
    "ResponseQueueSize": "network_requestchannel",
    "TotalFetchRequestsPerSec": "server_brokertopicmetrics",
    "TotalProduceRequestsPerSec": "server_brokertopicmetrics",
    "UnderMinIsrPartitionCount": "server_replicamanager",
    "UnderReplicatedPartitions": "server_replicamanager",
    "LeaderCount": "server_replicamanager",
    "OfflineReplicaCount": "server_replicamanager",
    "PartitionCount": "server_replicamanager",
}
_REQUESTS = "network_requestmetrics"
_OTHER = "server_socket_server_metrics"
_QUANTILES = (0.5, 0.75, 0.95, 0.98, 0.99, 0.999)


def text(metrics: Metrics) -> str:
    """Every metric, in the text format 0.0.4, grouped by name as it asks."""
    families: dict[str, list[str]] = {}
    for family, kind, lines in _samples(metrics):
        families.setdefault(family, [f"# TYPE {family} {kind}"]).extend(lines)
    return "".join(f"{line}\n" for lines in families.values() for line in lines)


def _samples(metrics: Metrics) -> Iterator[tuple[str, str, list[str]]]:
    for name, count in metrics.counts():
        family, labels = _family(name)
        family = family.removesuffix("persec") + "_total"
        yield family, "counter", [f"{family}{_braces(labels)} {count}"]
    for name, value in metrics.gauges():
        family, labels = _family(name)
        if family.endswith("percent"):
            family = family.removesuffix("percent") + "_percent"
        yield family, "gauge", [f"{family}{_braces(labels)} {value:g}"]
    for name, size, count in metrics.sizes():
        family, labels = _family(name)
        tags = _braces(labels)
        lines = [f"{family}_sum{tags} {size}", f"{family}_count{tags} {count}"]
        yield family, "summary", lines
    for name, histogram in metrics.histograms():
        family, labels = _family(name)
        yield family, "summary", _summary(family, labels, histogram)


def _family(name: str) -> tuple[str, list[str]]:
    """``TotalTimeMs,request=Produce`` as a family and its labels."""
    bare, *tags = name.split(",")
    labels = []
    for tag in tags:
        label, _, value = tag.partition("=")
        labels.append(f'{label.lower()}="{value}"')
    if any(tag.startswith("request=") for tag in tags):
        bean = _REQUESTS
    elif bare == "ExpiresPerSec" and not any("fetcherType" in tag for tag in tags):
        bean = "server_delayedproducemetrics"
    else:
        bean = _BEANS.get(bare, _OTHER)
    return f"kafka_{bean}_{bare.lower().replace('-', '_')}", labels


def _summary(family: str, labels: list[str], histogram: Histogram) -> list[str]:
    lines = []
    for q in _QUANTILES:
        own = _braces([*labels, f'quantile="{q:g}"'])
        lines.append(f"{family}{own} {histogram.quantile(q):g}")
    lines.append(f"{family}_sum{_braces(labels)} {histogram.total:g}")
    lines.append(f"{family}_count{_braces(labels)} {histogram.count}")
    return lines


def _braces(labels: list[str]) -> str:
    return "{" + ",".join(labels) + "}" if labels else ""

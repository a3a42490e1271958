"""Reads what jobs leave behind with the parsers of those for whom it is."""

import json
import sys
from datetime import datetime
from pathlib import Path

import attr
from openlineage.client.generated import (
    base,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    output_statistics_output_dataset,
    processing_engine_run,
    schema_dataset,
)
from prometheus_client.parser import text_string_to_metric_families

work = Path(sys.argv[1])

FACETS = {
    "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "jobType": job_type_job.JobTypeJobFacet,
    "schema": schema_dataset.SchemaDatasetFacet,
    "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
}


def metrics():
    seen = set()
    for path in sorted((work / "metrics").iterdir()):
        families = list(text_string_to_metric_families(path.read_text()))
        by_name = {family.name: family for family in families}
        for family in families:
            assert family.documentation and family.type == "gauge", family
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in seen, f"a collector would read {key} twice"
                seen.add(key)
        success = by_name["apportion_success"].samples[0]
        assert success.value == float("failed" not in path.name), path
        assert by_name["apportion_duration_seconds"].samples[0].value > 0
        rows = {sample.labels["table"]: sample.value for sample in by_name["apportion_rows_read"].samples}
        assert rows["orders"] > 700, rows
        states = {sample.labels["state"]: sample.value for sample in by_name["apportion_orders"].samples}
        assert states["counted"] == states["attributed"] + states["unattributed"], states
        stages = {sample.labels["stage"] for sample in by_name["apportion_stage_duration_seconds"].samples}
        assert "reading" in stages, stages
    print(f"Prometheus reads {len(seen)} figures")


def only(cls, value):
    """The value as an instance of a class, which refuses keys that it does not know."""
    known = {field.name.lstrip("_"): field for field in attr.fields(cls)}
    names = {name: name for name in known if known[name].init}
    return cls(**{names[key]: value[key] for key in value})


def facets(value):
    count = 0
    for name, facet in value.items():
        cls = FACETS[name]
        ours = {key: part for key, part in facet.items() if not key.startswith("_")}
        if name == "schema":
            ours["fields"] = [only(schema_dataset.SchemaDatasetFacetFields, field) for field in ours["fields"]]
        only(cls, ours)
        # The version of a facet's schema may be an older one; what it is of may not.
        newest = cls._get_schema()
        assert facet["_schemaURL"].split("#")[1] == newest.split("#")[1], (facet["_schemaURL"], newest)
        assert facet["_producer"].startswith("urn:apportion:")
        count += 1
    return count


def lineage():
    for name, ended in [("lineage", "COMPLETE"), ("failed", "FAIL")]:
        events = [json.loads(line) for line in (work / f"{name}.ndjson").read_text().splitlines()]
        assert [event["eventType"] for event in events] == ["START", ended]
        assert len({event["run"]["runId"] for event in events}) == 1
        times = [datetime.fromisoformat(event["eventTime"]) for event in events]
        assert times[0] <= times[1] and times[0].tzinfo
        count = 0
        for event in events:
            assert event["schemaURL"] == base.RunEvent._get_schema()
            run, job = event["run"], event["job"]
            count += facets(run["facets"]) + facets(job["facets"])
            for side, cls in [("inputs", base.InputDataset), ("outputs", base.OutputDataset)]:
                for dataset in event[side]:
                    only(cls, dataset)
                    count += facets(dataset["facets"])
                    count += facets(dataset.get("inputFacets", {})) + facets(dataset.get("outputFacets", {}))
            base.RunEvent(
                eventTime=event["eventTime"],
                producer=event["producer"],
                run=only(base.Run, run),
                job=only(base.Job, job),
                eventType=base.EventType(event["eventType"]),
                inputs=event["inputs"],
                outputs=event["outputs"],
            )
        assert events[1]["inputs"], "a run reads something"
        print(f"OpenLineage knows the {count} facets of a run that ends with {ended}")


def log():
    events = [json.loads(line) for line in (work / "log.ndjson").read_text().splitlines()]
    assert all(event["level"] == "error" for event in events), "a quiet job says errors only"


metrics()
lineage()
log()

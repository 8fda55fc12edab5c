"""The manifests of nginx/, as far as that goes without a cluster: predictd takes what they give, and answers what they ask."""

import json

import pytest
import yaml
from servers import PROGRAM, ROOT, SAMPLES, Client, Process, free_port, listens

# limits.drain, as nobody sets it here.
DRAIN = 30


def manifests(name):
    """The documents of a file, by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all((ROOT / "nginx" / name).read_text())}


@pytest.fixture
def run(folder, started):
    """Runs a manifest's container, with other ports and folders: gives it, and who asks it at its port."""

    def run(container, folders):
        (port,) = (each["containerPort"] for each in container["ports"])
        ours = {port: free_port(), 8099: free_port()}

        def edit(argument):
            for theirs, there in folders.items():
                argument = argument.replace(theirs, str(there))
            for theirs, there in ours.items():
                argument = argument.replace(f"0.0.0.0:{theirs}", f"127.0.0.1:{there}")
                argument = argument.replace(f"127.0.0.1:{theirs}", f"127.0.0.1:{there}")
            return argument

        environment = {each["name"]: edit(each["value"]) for each in container.get("env", [])}
        process = Process([PROGRAM, *map(edit, container["args"])], folder / "predictd.log", environment)
        started(type("Container", (), {"process": process}))
        process.wait_for("it listens", lambda: listens(("127.0.0.1", ours[port])))
        return process, Client(ours[port])

    return run


def test_a_deployment_runs_and_its_probes_are_answered(folder, run):
    both = manifests("kubernetes.yaml")
    pod = both["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (port,) = container["ports"]
    assert both["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert both["Service"]["spec"]["ports"][0]["port"] == port["containerPort"]
    assert both["Service"]["spec"]["selector"].items() <= both["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    mounted = {each["mountPath"] for each in container["volumeMounts"]}
    assert {"/models", "/cache"} == mounted
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}

    process, client = run(container, {"/models": ROOT / "models", "/cache": folder / "cache"})
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == port["name"]
        assert client.ask("GET", asked["path"])[0] == 200, probe
    answer = client.ask("POST", "/predict/digits", (SAMPLES / "7.png").read_bytes())[2]
    assert json.loads(answer)["results"][0]["classes"][0]["label"] == "7"
    # It ends before it is ended.
    assert pod["terminationGracePeriodSeconds"] >= container["lifecycle"]["preStop"]["sleep"]["seconds"] + DRAIN + 5
    assert process.stop() == 0


def test_kserve_runs_a_model_by_both_of_its_protocols(run):
    both = manifests("kserve.yaml")
    runtime, service = both["ServingRuntime"]["spec"], both["InferenceService"]
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == both["ServingRuntime"]["metadata"]["name"]
    assert model["modelFormat"]["name"] in [each["name"] for each in runtime["supportedModelFormats"]]
    (container,) = runtime["containers"]
    assert container["name"] == "kserve-container", "KServe's own name for it"

    name = service["metadata"]["name"]
    process, client = run(container, {"{{.Name}}": name, "/mnt/models": ROOT / "models/digits"})
    assert client.ask("GET", container["readinessProbe"]["httpGet"]["path"])[0] == 200
    picture = [[[0.0] * 28] * 28]
    asked = {
        "v1": (f"/v1/models/{name}:predict", {"instances": [picture]}, "predictions"),
        "v2": (
            f"/v2/models/{name}/infer",
            {"inputs": [{"name": "image", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": [picture]}]},
            "outputs",
        ),
    }
    for protocol in runtime["protocolVersions"]:
        path, body, key = asked[protocol]
        status, _, answer = client.ask("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        assert status == 200, answer
        assert json.loads(answer)[key]
    assert process.stop() == 0

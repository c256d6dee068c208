"""What is asked of a running Prometheus, over its HTTP API."""

import json
import urllib.error
import urllib.parse
import urllib.request


class Prometheus:
    def __init__(self, url):
        self.url = url

    def get(self, path, **parameters):
        """The `data` of an answer; an answer that is none is an error with Prometheus' own words."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"error: {path} {parameters}: {error.read().decode()}") from error

    def range(self, query, start, end, step):
        """Series of a query over time, each with its `metric` and `values`."""
        return self.get("query_range", query=query, start=start, end=end, step=step)["result"]

    def instant(self, query, time):
        """Series of a query at a moment, each with its `metric` and `value`; a scalar is a series without labels."""
        data = self.get("query", query=query, time=time)
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        return data["result"]

    def series(self, selector, start, end):
        """The labels of all series that a selector matches."""
        return self.get("series", **{"match[]": selector, "start": start, "end": end})

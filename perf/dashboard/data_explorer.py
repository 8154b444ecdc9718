"""Dashboard tables in Azure Data Explorer by queued ingestion, where tags let a run replace itself."""

import hashlib
import io
import ipaddress
import json
import os
from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from azure.core.exceptions import AzureError
from azure.identity import EnvironmentCredential
from azure.kusto.data import DataFormat, KustoClient, KustoConnectionStringBuilder
from azure.kusto.data.exceptions import KustoError
from azure.kusto.ingest import (
    ColumnMapping,
    IngestionMappingKind,
    IngestionProperties,
    QueuedIngestClient,
    StreamDescriptor,
)

from perf.dashboard.dashboard_tables import DashboardTable
from perf.request.bad_request import BadRequestError

SCHEME = "kusto"
SIGN_IN = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID")  # what EnvironmentCredential needs at least


def post_to_cluster(
    url: str, tables: Sequence[DashboardTable], run_id: str, *, token: str, token_variable: str
) -> str:
    """Queue a run's rows at kusto://CLUSTER/DATABASE; where they go, in words. Raises BadRequestError.

    `token` is an access token, from the variable of that name; "": azure-identity's own variables sign in.
    """
    parts = urlsplit(url)
    database = parts.path.strip("/")
    if not parts.hostname or not database or "@" in parts.netloc or parts.query or "/" in database:
        raise BadRequestError(
            f"--post: a cluster is as in {SCHEME}://name.region.kusto.windows.net/Database, and holds no "
            "credentials"
        )
    try:
        builders = [_sign_in(_address(parts), token, token_variable) for _ in range(2)]
        with KustoClient(builders[0]) as client, QueuedIngestClient(builders[1]) as ingest:
            for table in tables:
                _replace(client, ingest, database, table, run_id)
    except (KustoError, AzureError, OSError, ValueError) as e:  # requests' errors are OSErrors
        raise BadRequestError(f"--post {url}: {_describe_error(e, token)}") from e
    return f"{url} (queued; the cluster takes it in within minutes)"


def _describe_error(error: BaseException, token: str) -> str:
    """The client's first line, and its cause's: some of its errors say no more than that it gave up."""
    told = [
        f"{type(e).__name__}: {(str(e).strip().splitlines() or [''])[0]}"[:300]
        for e in (error, error.__cause__)
        if e is not None
    ]
    text = "; ".join(told)
    return text.replace(token, "…") if token else text


def _address(parts: SplitResult) -> str:
    """Nothing but this machine is spoken to in the clear."""
    host = parts.hostname or ""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    return f"{'http' if here else 'https'}://{parts.netloc}"


def _sign_in(address: str, token: str, token_variable: str) -> KustoConnectionStringBuilder:
    if token:
        return KustoConnectionStringBuilder.with_aad_application_token_authentication(
            address, token
        )
    if not all(os.environ.get(name) for name in SIGN_IN):
        raise BadRequestError(
            f"--post: set {token_variable} to an access token, or AZURE_CLIENT_ID, AZURE_TENANT_ID and "
            "AZURE_CLIENT_SECRET (or a certificate's) to a service principal"
        )
    return KustoConnectionStringBuilder.with_azure_token_credential(
        address, EnvironmentCredential()
    )


def _replace(
    client: KustoClient,
    ingest: QueuedIngestClient,
    database: str,
    table: DashboardTable,
    run_id: str,
) -> None:
    """Queue a run's rows under its tag, then drop what an earlier posting of it with other rows left."""
    kinds = {c: "real" if c in table.numbers else "string" for c in table.columns}
    columns = ", ".join(f"['{c}']:{kind}" for c, kind in kinds.items())
    client.execute_mgmt(database, f".create-merge table ['{table.name}'] ({columns})")
    lines = "".join(
        json.dumps(dict(zip(table.columns, row, strict=True))) + "\n" for row in table.rows
    )
    content = f"{run_id}/{hashlib.sha256(lines.encode()).hexdigest()[:16]}"
    if table.rows:
        properties = _describe(database, table.name, kinds, run_id, content)
        ingest.ingest_from_stream(StreamDescriptor(io.BytesIO(lines.encode())), properties)
    client.execute_mgmt(
        database,
        f".drop extents <| .show table ['{table.name}'] extents "
        f"where tags has {_quote(f'drop-by:{run_id}')} and tags !has {_quote(f'ingest-by:{content}')}",
    )


def _quote(text: str) -> str:
    """A string of Kusto's language."""
    return json.dumps(text)


def _describe(
    database: str, table: str, kinds: Mapping[str, str], run_id: str, content: str
) -> IngestionProperties:
    """How lines become rows, by name; the same content is taken in once."""
    return IngestionProperties(
        database=database,
        table=table,
        data_format=DataFormat.MULTIJSON,
        column_mappings=[ColumnMapping(c, kind, path=f"$['{c}']") for c, kind in kinds.items()],
        ingestion_mapping_kind=IngestionMappingKind.JSON,
        drop_by_tags=[run_id],
        ingest_by_tags=[content],
        ingest_if_not_exists=[content],
    )

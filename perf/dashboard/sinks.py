"""Where dashboard tables go: a folder, a database, a cluster; a run that is posted again replaces itself."""

import os
from collections.abc import Sequence
from pathlib import Path

from perf.dashboard.dashboard_tables import DashboardTable
from perf.request.bad_request import BadRequestError
from perf.request.programs import install_command
from perf.results.tables import to_csv
from perf.schema import atomic_file

URL, PASSWORD = "EP_PERF_POST_URL", "EP_PERF_POST_PASSWORD"
PARQUET, CLUSTER = "parquet=", "kusto://"


def post_tables(given: str, tables: Sequence[DashboardTable], run_id: str) -> str:
    """Put a run's tables where a URL or a folder says; "": where the environment says. Tells where that is.

    Raises BadRequestError, with no password in its line, and OSError.
    """
    url = given or os.environ.get(URL, "")
    password = os.environ.get(PASSWORD, "")
    if not url:
        raise BadRequestError(f"--post: give a folder or a database's URL, or set {URL}")
    if url.startswith(PARQUET):
        return _write_parquet(Path(url.removeprefix(PARQUET)), tables, run_id)
    if url.startswith(CLUSTER):
        return _post_to_cluster(url, tables, run_id, password)
    if "://" not in url:
        return _write_folder(Path(url), tables, run_id)
    try:
        from perf.dashboard.database import write_database  # an extra that no run needs
    except ImportError as e:
        raise _lacking(e, "databases", "sqlalchemy 'psycopg[binary]'") from e
    return write_database(url, tables, run_id, password=password, is_secret=not given)


def _write_parquet(folder: Path, tables: Sequence[DashboardTable], run_id: str) -> str:
    try:
        from perf.dashboard.parquet import write_parquet  # an extra that no run needs
    except ImportError as e:
        raise _lacking(e, "Parquet", "pyarrow") from e
    write_parquet(folder, tables, run_id)
    return str(folder)


def _post_to_cluster(url: str, tables: Sequence[DashboardTable], run_id: str, token: str) -> str:
    try:
        from perf.dashboard.data_explorer import post_to_cluster  # an extra that no run needs
    except ImportError as e:
        raise _lacking(e, "Azure Data Explorer", "azure-kusto-ingest") from e
    return post_to_cluster(url, tables, run_id, token=token, token_variable=PASSWORD)


def _lacking(error: ImportError, what: str, packages: str) -> BadRequestError:
    needs = packages.split()[0]
    fix = install_command(packages, extra=True)
    return BadRequestError(f"--post: {error}: {what} needs {needs}; `{fix}` fixes it")


def _write_folder(folder: Path, tables: Sequence[DashboardTable], run_id: str) -> str:
    """TABLE/RUN.csv, each whole or not at all."""
    for table in tables:
        text = to_csv(table.columns, table.rows)
        path = folder / table.name / f"{run_id}.csv"
        atomic_file.write_bytes(path, text.encode("utf-8", "backslashreplace"))
    return str(folder)

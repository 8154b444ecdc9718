"""Where dashboard tables go: a folder of CSV files, or any SQL database; posting a run again replaces it."""

import os
from collections.abc import Sequence
from pathlib import Path

from perf.dashboard.dashboard_tables import DashboardTable
from perf.request.bad_request import BadRequestError
from perf.request.programs import install_command
from perf.results.tables import to_csv
from perf.schema import atomic_file

URL, PASSWORD = "EP_PERF_POST_URL", "EP_PERF_POST_PASSWORD"


def post_tables(given: str, tables: Sequence[DashboardTable], run_id: str) -> str:
    """Put a run's tables where a URL or a folder says; "": where the environment says. Tells where that is.

    Raises BadRequestError, with no password in its line, and OSError.
    """
    url = given or os.environ.get(URL, "")
    if not url:
        raise BadRequestError(f"--post: give a folder or a database's URL, or set {URL}")
    if "://" not in url:
        return _write_folder(Path(url), tables, run_id)
    try:
        from perf.dashboard.database import write_database  # an extra that no run needs
    except ImportError as e:
        fix = install_command("sqlalchemy 'psycopg[binary]'", extra=True)
        raise BadRequestError(f"--post: {e}: databases need sqlalchemy; `{fix}` fixes it") from e
    password = os.environ.get(PASSWORD, "")
    return write_database(url, tables, run_id, password=password, is_secret=not given)


def _write_folder(folder: Path, tables: Sequence[DashboardTable], run_id: str) -> str:
    """TABLE/RUN.csv, each whole or not at all."""
    for table in tables:
        text = to_csv(table.columns, table.rows)
        path = folder / table.name / f"{run_id}.csv"
        atomic_file.write_bytes(path, text.encode("utf-8", "backslashreplace"))
    return str(folder)

"""Dashboard tables in an SQL database, by the driver its URL names; a run's rows are replaced at once."""

from collections.abc import Sequence

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from perf.dashboard.dashboard_tables import RUN, DashboardTable, Value
from perf.request.bad_request import BadRequestError


def write_database(
    text: str,
    tables: Sequence[DashboardTable],
    run_id: str,
    *,
    password: str = "",
    is_secret: bool,
) -> str:
    """Replace a run's rows in one transaction; the URL without its password. Raises BadRequestError.

    `is_secret`: the URL is from the environment, and may hold a password.
    """
    try:
        url = sql.make_url(text)
        if url.password and not is_secret:
            raise BadRequestError(
                "--post: a command line is no place for a password, others can read it: leave it out, and "
                "set EP_PERF_POST_PASSWORD, or the whole URL in EP_PERF_POST_URL"
            )
        engine = sql.create_engine(
            url.set(password=password) if password else url, hide_parameters=True
        )
    except (ArgumentError, NoSuchModuleError, ImportError) as e:
        raise BadRequestError(
            f"--post: {_first_line(e)}; a URL is as in postgresql+psycopg://user@host/base"
        ) from e
    shown = url.render_as_string(hide_password=True)
    try:
        with engine.begin() as connection:
            for table in tables:
                _replace(connection, table, run_id)
    except SQLAlchemyError as e:
        raise BadRequestError(
            f"--post {shown}: {_first_line(getattr(e, 'orig', None) or e)}"
        ) from e
    finally:
        engine.dispose()
    return shown


def _replace(connection: sql.Connection, table: DashboardTable, run_id: str) -> None:
    columns = [sql.Column(c, sql.Float if c in table.numbers else sql.Text) for c in table.columns]
    target = sql.Table(table.name, sql.MetaData(), *columns)
    target.create(connection, checkfirst=True)
    connection.execute(target.delete().where(target.c[RUN] == run_id))
    if table.rows:
        # A column of the predecessor's is named ".": no name of a bound parameter.
        names = {c: f"c{i}" for i, c in enumerate(table.columns)}
        insert = target.insert().values({c: sql.bindparam(n) for c, n in names.items()})
        rows = [dict(zip(names.values(), map(_storable, row), strict=True)) for row in table.rows]
        connection.execute(insert, rows)


def _storable(value: Value) -> Value:
    """A text without NUL and lone surrogates, which databases refuse."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""SQLAlchemy as applications use it: its pool asks before it lends and rolls back what it takes
back. The environment says where the server is (PGHOST and its like) and what is in between
(HOWDAH_MODE)."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

MODE = os.environ["HOWDAH_MODE"]
THREADS = 8


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("authors.id"))
    author: Mapped[Author] = relationship(back_populates="books")


def url(dialect):
    env = os.environ
    return f"postgresql+{dialect}://{env['PGUSER']}:{env['PGPASSWORD']}@{env['PGHOST']}:{env['PGPORT']}/{env['PGDATABASE']}"


def as_an_application(dialect):
    engine = sa.create_engine(url(dialect), pool_size=5, max_overflow=1, pool_pre_ping=True, pool_timeout=60)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)

    def write(number):
        with Session(engine) as session:
            author = Author(name=f"author {number}", books=[Book(title=f"book {n}") for n in range(5)])
            session.add(author)
            session.commit()
            assert author.books[4].title == "book 4"
        with Session(engine) as session:
            session.add(Author(name=f"author {number}"))
            try:
                session.flush()
            except sa.exc.IntegrityError:
                session.rollback()
            else:
                raise AssertionError("no error")
            found = session.scalars(sa.select(Author).where(Author.name == f"author {number}")).one()
            with session.begin_nested() as inner:
                found.name = "lost"
                session.flush()
                inner.rollback()
            session.refresh(found)
            assert found.name == f"author {number}"
        # Left open: the pool rolls it back.
        conn = engine.connect()
        conn.execute(sa.text("insert into authors (name) values ('never')"))
        conn.close()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, range(40)))
    with engine.connect() as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(Book)) == 200
        assert conn.scalar(sa.select(sa.func.count()).select_from(Author)) == 40
        rows = conn.execution_options(stream_results=True, max_row_buffer=20).execute(sa.select(Book.id))
        assert len(list(rows)) == 200
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as conn:
        assert conn.scalar(sa.text("show transaction_isolation")) == "serializable"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(sa.text("vacuum books"))
    assert sa.inspect(engine).get_foreign_keys("books")[0]["referred_table"] == "authors"
    with engine.begin() as conn:
        ids = conn.scalars(sa.insert(Author).returning(Author.id), [{"name": f"bulk {n}"} for n in range(3000)])
        assert len(ids.all()) == 3000
    # Connections that have broken under it are replaced before they are lent.
    with engine.connect() as conn:
        stays = conn.scalar(sa.text("select current_setting('server_version_num')::int"))
        assert stays > 150000
    Base.metadata.drop_all(engine)
    engine.dispose()


async def as_an_asynchronous_application(dialect):
    engine = create_async_engine(url(dialect), pool_size=6, pool_pre_ping=True, pool_timeout=60)
    async with engine.begin() as conn:
        await conn.run_sync(Base.metadata.drop_all)
        await conn.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def write(number):
        async with sessions() as session:
            session.add(Author(name=f"author {number}", books=[Book(title="only")]))
            await session.commit()
        async with sessions() as session:
            author = await session.scalar(sa.select(Author).where(Author.name == f"author {number}"))
            author.name += "!"
            await session.flush()
            if number % 2:
                raise KeyError(number)
            await session.commit()

    await asyncio.gather(*[write(number) for number in range(30)], return_exceptions=True)
    async with sessions() as session:
        changed = sa.select(sa.func.count()).select_from(Author).where(Author.name.endswith("!"))
        assert await session.scalar(changed) == 15
        rows = await session.stream(sa.select(Book.title))
        assert len([row async for row in rows]) == 30
    # What is created anew has another shape under the same statements.
    async with engine.begin() as conn:
        await conn.run_sync(Base.metadata.drop_all)
    await engine.dispose()


for dialect in ("psycopg2", "psycopg"):
    print(dialect, flush=True)
    as_an_application(dialect)
for dialect in ("psycopg", "asyncpg"):
    print("asynchronous", dialect, flush=True)
    asyncio.run(asyncio.wait_for(as_an_asynchronous_application(dialect), 120))
print("sqlalchemy", sa.__version__)

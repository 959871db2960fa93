create table stock (
    product_id text primary key,
    on_hand integer not null check (on_hand >= 0)
) strict, without rowid;

create table receipt (
    request_id text primary key,
    product_id text not null,
    quantity integer not null
) strict, without rowid;

-- held -> sold -> released, or held -> released; a hold that was never used is deleted
create table reservation (
    order_id text primary key,
    state text not null check (state in ('held', 'sold', 'released')),
    held_until real not null,
    lines text not null
) strict;

create table goods_return (
    return_id text primary key,
    units integer not null,
    refunded_cents integer not null,
    lines text not null
) strict;

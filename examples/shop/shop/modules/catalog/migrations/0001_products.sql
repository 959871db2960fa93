create table product (
    product_id text primary key,
    description text not null,
    price_cents integer not null
) strict, without rowid;

// NestJS on Fastify, as its documentation writes it: a validation pipe and classes with decorators.
import 'reflect-metadata';
import { Body, Controller, Get, HttpCode, Module, Param, ParseIntPipe, Post, Query, ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, NestFastifyApplication } from '@nestjs/platform-fastify';
import { Type } from 'class-transformer';
import { IsArray, IsInt, IsString, Max, Min, ValidateNested } from 'class-validator';

class Line {
  @IsString() product_id: string;
  @IsInt() @Min(1) @Max(1000) quantity: number;
  @IsInt() @Min(0) price_cents: number;
}

class Order {
  @IsString() order_id: string;
  @IsString() customer_id: string;
  @IsArray() @ValidateNested({ each: true }) @Type(() => Line) lines: Line[];
}

class Search {
  @IsString() q: string;
  @Type(() => Number) @IsInt() @Min(1) @Max(100) limit = 10;
}

@Controller('v1')
class Demo {
  @Get('hello')
  hello() {
    return { message: 'Hello, World!' };
  }

  @Post('orders')
  @HttpCode(200)
  price(@Body() order: Order) {
    const total = order.lines.reduce((sum, x) => sum + x.quantity * x.price_cents, 0);
    return { order_id: order.order_id, total_cents: total, lines: order.lines.length };
  }

  @Get('items/:item_id')
  item(@Param('item_id', ParseIntPipe) itemId: number, @Query() search: Search) {
    return { item_id: itemId, q: search.q, limit: search.limit };
  }
}

@Module({ controllers: [Demo] })
class Root {}

declare const process: { argv: string[] };

async function main() {
  const app = await NestFactory.create<NestFastifyApplication>(Root, new FastifyAdapter(), { logger: ['error'] });
  app.useGlobalPipes(new ValidationPipe({ transform: true, whitelist: true, forbidNonWhitelisted: true }));
  await app.listen(Number(process.argv[2]), '127.0.0.1');
}

void main();

-- Migration 1, tables, for SQLite. Written by ffgen migrate diff; read it before it runs, and do not
-- change it after it ran anywhere.

-- what the stores keep beside the tables of the game
CREATE TABLE IF NOT EXISTS `ff_seq` (`tbl` TEXT NOT NULL PRIMARY KEY, `next` INTEGER NOT NULL) WITHOUT ROWID;

-- what the stores keep beside the tables of the game
CREATE TABLE IF NOT EXISTS `ff_once` (`place` TEXT NOT NULL, `once` TEXT NOT NULL, `token` INTEGER NOT NULL, `at` INTEGER NOT NULL, PRIMARY KEY (`place`, `once`)) WITHOUT ROWID;

-- account: a new table
CREATE TABLE IF NOT EXISTS `account` (`name` TEXT NOT NULL, `player_id` INTEGER NOT NULL DEFAULT 0, `ff_v` INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (`name`));

-- item: a new table
CREATE TABLE IF NOT EXISTS `item` (`owner_id` INTEGER NOT NULL, `id` INTEGER NOT NULL, `name` TEXT NOT NULL DEFAULT '', `price` INTEGER NOT NULL DEFAULT 0, `ff_v` INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (`owner_id`, `id`));

-- item: an index by owner_id
CREATE INDEX IF NOT EXISTS `item_by_owner_id` ON `item` (`owner_id`);

-- player: a new table
CREATE TABLE IF NOT EXISTS `player` (`id` INTEGER NOT NULL, `name` TEXT NOT NULL DEFAULT '', `gold` INTEGER NOT NULL DEFAULT 0, `wins` INTEGER NOT NULL DEFAULT 0, `ff_v` INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (`id`));

-- score: a new table
CREATE TABLE IF NOT EXISTS `score` (`room` TEXT NOT NULL, `name` TEXT NOT NULL, `wins` INTEGER NOT NULL DEFAULT 0, `ff_v` INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (`room`, `name`));

-- score: an index by room
CREATE INDEX IF NOT EXISTS `score_by_room` ON `score` (`room`);

-- Migration 1, tables, for MySQL and MariaDB. Written by ffgen migrate diff; read it before it runs, and do not
-- change it after it ran anywhere.

-- what the stores keep beside the tables of the game
CREATE TABLE IF NOT EXISTS `ff_shard` (`shard` INT UNSIGNED NOT NULL PRIMARY KEY, `epoch` BIGINT UNSIGNED NOT NULL, `owner` VARCHAR(255) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- what the stores keep beside the tables of the game
CREATE TABLE IF NOT EXISTS `ff_seq` (`tbl` VARCHAR(64) NOT NULL PRIMARY KEY, `next` BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- what the stores keep beside the tables of the game
CREATE TABLE IF NOT EXISTS `ff_tomb` (`tbl` VARCHAR(64) NOT NULL, `pk` VARBINARY(512) NOT NULL, `ff_v` BIGINT UNSIGNED NOT NULL, `at` BIGINT NOT NULL, PRIMARY KEY (`tbl`, `pk`), KEY `by_at` (`at`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- what the stores keep beside the tables of the game
CREATE TABLE IF NOT EXISTS `ff_txn` (`token` VARCHAR(64) NOT NULL PRIMARY KEY, `state` CHAR(1) NOT NULL, `payload` LONGBLOB NOT NULL, `at` BIGINT NOT NULL, KEY `by_at` (`at`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- what the stores keep beside the tables of the game
CREATE TABLE IF NOT EXISTS `ff_once` (`place` VARBINARY(768) NOT NULL, `once` VARBINARY(128) NOT NULL, `token` BIGINT UNSIGNED NOT NULL, `at` BIGINT NOT NULL, `ff_v` BIGINT UNSIGNED NOT NULL DEFAULT 0, PRIMARY KEY (`place`, `once`), KEY `at` (`at`)) ENGINE=InnoDB;

-- account: a new table
CREATE TABLE `account` (`name` VARCHAR(24) NOT NULL, `player_id` BIGINT NOT NULL DEFAULT 0, `ff_v` BIGINT UNSIGNED NOT NULL DEFAULT 0, PRIMARY KEY (`name`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='Account says which player a name is. It is stored before a login is answered.';

-- item: a new table
CREATE TABLE `item` (`owner_id` BIGINT NOT NULL, `id` BIGINT NOT NULL, `name` VARCHAR(64) NOT NULL DEFAULT '', `price` BIGINT NOT NULL DEFAULT 0 COMMENT 'What it costs; 0: it is not for sale.', `ff_v` BIGINT UNSIGNED NOT NULL DEFAULT 0, PRIMARY KEY (`owner_id`, `id`), KEY `by_owner_id` (`owner_id`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='Item lies with its owner, so that both change in one commit.';

-- player: a new table
CREATE TABLE `player` (`id` BIGINT NOT NULL, `name` VARCHAR(24) NOT NULL DEFAULT '', `gold` BIGINT NOT NULL DEFAULT 0 COMMENT 'Gold never falls below zero, whoever spends it at the same time.', `wins` INT NOT NULL DEFAULT 0, `ff_v` BIGINT UNSIGNED NOT NULL DEFAULT 0, PRIMARY KEY (`id`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='Player is what a player has besides items.';

-- score: a new table
CREATE TABLE `score` (`room` VARCHAR(32) NOT NULL, `name` VARCHAR(24) NOT NULL, `wins` INT NOT NULL DEFAULT 0, `ff_v` BIGINT UNSIGNED NOT NULL DEFAULT 0, PRIMARY KEY (`room`, `name`), KEY `by_room` (`room`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='Score is how often somebody has won in a room.';

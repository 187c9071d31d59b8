-- MySQL dump 10.13  Distrib 5.1.73, for redhat-linux-gnu (x86_64)
--
-- Host: localhost    Database: oldgame
-- ------------------------------------------------------
-- Server version	5.1.73-log

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET NAMES utf8 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;

--
-- Table structure for table `tb_character`
--

DROP TABLE IF EXISTS `tb_character`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8 */;
CREATE TABLE `tb_character` (
  `id` int(10) unsigned NOT NULL AUTO_INCREMENT COMMENT '角色id',
  `nickname` varchar(20) NOT NULL DEFAULT '' COMMENT '角色昵称; it''s \"quoted\"',
  `userId` int(10) NOT NULL DEFAULT '0' COMMENT '用户id',
  `level` smallint(5) unsigned NOT NULL DEFAULT '1',
  `exp` bigint(20) NOT NULL DEFAULT '0' COMMENT '经验',
  `desc` varchar(255) DEFAULT NULL COMMENT '描述',
  `order` int(11) DEFAULT '0',
  `group` tinyint(4) NOT NULL DEFAULT '-1',
  `key` char(32) NOT NULL DEFAULT 'none',
  `option` text,
  `sex` enum('男','女') NOT NULL DEFAULT '男',
  `rights` set('gm','mute','ban') NOT NULL DEFAULT '',
  `isOnline` tinyint(1) NOT NULL DEFAULT '0' COMMENT '是否在线',
  `status` tinyint(1) NOT NULL DEFAULT '0' COMMENT '状态 0:正常 1:冻结 2:删除',
  `vip` tinyint(1) DEFAULT '1',
  `rate` float(7,2) NOT NULL DEFAULT '1.50',
  `ratio` double NOT NULL DEFAULT '0',
  `speed` float unsigned NOT NULL DEFAULT '0',
  `money` decimal(10,2) NOT NULL DEFAULT '0.00',
  `diamonds` decimal(18,0) unsigned NOT NULL DEFAULT '100',
  `huge` decimal(30,4) DEFAULT NULL,
  `birthday` date DEFAULT NULL,
  `createTime` datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
  `lastLogin` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  `bornYear` year(4) DEFAULT NULL,
  `dailyAt` time NOT NULL DEFAULT '05:00:00',
  `flags` bit(1) NOT NULL DEFAULT b'0',
  `mask` bit(20) DEFAULT NULL,
  `face` blob,
  `token` binary(16) DEFAULT NULL,
  `cookie` varbinary(64) NOT NULL DEFAULT '',
  `big` bigint(20) unsigned NOT NULL DEFAULT '18446744073709551615',
  `med` mediumint(8) unsigned zerofill DEFAULT NULL,
  `notes` mediumtext NOT NULL,
  `log` longtext,
  `pic` longblob,
  `string` varchar(8) NOT NULL DEFAULT '',
  PRIMARY KEY (`id`),
  UNIQUE KEY `nick` (`nickname`) USING BTREE,
  KEY `idx_user` (`userId`),
  KEY `idx_user_level` (`userId`,`level`),
  KEY `idx_desc` (`desc`(20)),
  KEY `idx_time` (`createTime`),
  FULLTEXT KEY `ft_notes` (`notes`)
) ENGINE=MyISAM AUTO_INCREMENT=1000123 DEFAULT CHARSET=utf8 ROW_FORMAT=DYNAMIC COMMENT='角色表';
/*!40101 SET character_set_client = @saved_cs_client */;

LOCK TABLES `tb_character` WRITE;
/*!40000 ALTER TABLE `tb_character` DISABLE KEYS */;
INSERT INTO `tb_character` (`id`,`nickname`,`notes`) VALUES (1,'it\'s; -- a /* name','a'),(2,'x\\','b;\n');
/*!40000 ALTER TABLE `tb_character` ENABLE KEYS */;
UNLOCK TABLES;

-- 道具表
CREATE TABLE `tb_item` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `characterId` int(11) NOT NULL,
  `itemTemplateId` int(11) NOT NULL DEFAULT '0' COMMENT '道具模板',
  `stack` int(11) NOT NULL DEFAULT '1',
  `isBound` tinyint(1) unsigned NOT NULL DEFAULT '0',
  PRIMARY KEY (`id`),
  KEY `characterId` (`characterId`),
  KEY `characterId_2` (`characterId`),
  KEY `id_again` (`id`)
) ENGINE=MyISAM DEFAULT CHARSET=utf8 COMMENT='道具\n表';

CREATE TABLE `tb_register` (
  `id` int(11) NOT NULL,
  `username` varchar(64) CHARACTER SET latin1 NOT NULL,
  `password` varchar(64) NOT NULL,
  PRIMARY KEY (`id`,`username`),
  UNIQUE KEY `username` (`username`)
) ENGINE=InnoDB DEFAULT CHARSET=gbk;

CREATE TABLE `tb_friend` (
  `player` bigint(20) NOT NULL,
  `friend` bigint(20) NOT NULL,
  `type` tinyint(3) NOT NULL DEFAULT '0',
  `at` datetime(3) DEFAULT NULL,
  PRIMARY KEY (`player`,`friend`,`type`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE `guild` (
  `guildId` int(10) unsigned NOT NULL,
  `leader` int(10) unsigned NOT NULL,
  `name` varchar(30) NOT NULL,
  `announcement` varchar(2000) NOT NULL DEFAULT '欢迎',
  `ext` json DEFAULT NULL,
  `extra` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '{}' CHECK (json_valid(`extra`)),
  `members` int(11) NOT NULL DEFAULT '1',
  `score` int(11) GENERATED ALWAYS AS (`members` * 10) VIRTUAL,
  PRIMARY KEY (`guildId`),
  UNIQUE KEY `name` (`name`),
  CONSTRAINT `positive` CHECK (`members` >= 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `guild_member` (
  `guildId` int(10) unsigned NOT NULL,
  `roleId` int(10) unsigned NOT NULL,
  `post` tinyint(3) unsigned NOT NULL DEFAULT '0',
  PRIMARY KEY (`guildId`,`roleId`),
  KEY `roleId` (`roleId`),
  CONSTRAINT `guild_member_ibfk_1` FOREIGN KEY (`guildId`) REFERENCES `guild` (`guildId`) ON DELETE CASCADE ON UPDATE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `log_login` (
  `playerId` int(11) NOT NULL,
  `ip` varchar(15) NOT NULL,
  `at` int(11) NOT NULL
) ENGINE=MyISAM DEFAULT CHARSET=latin1;

CREATE TABLE `map_place` (
  `id` int(11) NOT NULL,
  `pos` point NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE `long_key` (
  `name` varchar(200) NOT NULL,
  `path` varchar(700) NOT NULL,
  `n` int(11) NOT NULL DEFAULT '0',
  PRIMARY KEY (`name`),
  KEY `path` (`path`,`name`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

CREATE TABLE IF NOT EXISTS `phpmyadmin_style` (
  `id` int(11) NOT NULL,
  `名字` varchar(20) DEFAULT NULL,
  `uid` int(11) NOT NULL,
  `v2` int(11) NOT NULL DEFAULT '7',
  `v_2` int(11) NOT NULL DEFAULT '8',
  `userID` int(11) NOT NULL DEFAULT '9',
  `user_id` int(11) NOT NULL DEFAULT '9'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

ALTER TABLE `phpmyadmin_style`
  ADD PRIMARY KEY (`id`),
  ADD UNIQUE KEY `uid` (`uid`) USING BTREE,
  ADD KEY `v2` (`v2`,`uid`);

ALTER TABLE `phpmyadmin_style`
  MODIFY `id` int(11) NOT NULL AUTO_INCREMENT, AUTO_INCREMENT=5;

CREATE UNIQUE INDEX `by_user` ON `phpmyadmin_style` (`userID`);

/*!50001 CREATE TABLE `v_rank` (
  `id` tinyint NOT NULL
) ENGINE=MyISAM */;
/*!50001 DROP TABLE IF EXISTS `v_rank`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50001 VIEW `v_rank` AS select `guild`.`guildId` AS `id` from `guild` */;

DELIMITER ;;
/*!50003 CREATE*/ /*!50003 TRIGGER `tr_item` BEFORE INSERT ON `tb_item` FOR EACH ROW BEGIN
  SET NEW.stack = IF(NEW.stack < 1, 1, NEW.stack);
END */;;
DELIMITER ;
